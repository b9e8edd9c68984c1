"""Tests of kd.report.tasks: fidelity of a student to its teacher."""

import math

import numpy as np
import pytest

from kd.report.tasks import fidelity


def test_fidelity_by_hand():
    teacher = np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]])
    student = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    found = fidelity(teacher, student, np.array([True, True, False]))
    apart = 0.8 * math.log(0.8 / 0.4) + 0.2 * math.log(0.2 / 0.6)
    assert found["all"] == {
        "rows": 3,
        "agreement": pytest.approx(2 / 3),
        "kl": pytest.approx(apart / 3),
    }
    assert found["right"] == {"rows": 2, "agreement": 0.5, "kl": pytest.approx(apart / 2)}
    assert found["wrong"] == {"rows": 1, "agreement": 1.0, "kl": 0.0}


def test_a_chance_rounded_to_0_keeps_the_divergence_finite():
    found = fidelity(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([True]))
    assert found["all"]["kl"] == pytest.approx(math.log(1e6), rel=1e-4)
    assert found["wrong"] == {"rows": 0, "agreement": None, "kl": None}
