"""Whether a file is a whole ONNX graph, by its outermost fields: kd demo needs no package onnx."""

from collections.abc import Iterator
from pathlib import Path

from data.errors import InputError

# Fields of ModelProto (onnx.proto3) that every graph of kd export has.
IR_VERSION, GRAPH, OPSET_IMPORT = 1, 7, 8
# Wire types of protocol buffers: a number, or a length and as many bytes.
NUMBER, BYTES = 0, 2


def check_graph(path: Path) -> None:
    """Raise InputError for a file that is no ONNX graph, or is cut off."""
    try:
        found = set(_fields(path.read_bytes()))
    except (ValueError, IndexError):
        found = set()
    if not found >= {IR_VERSION, GRAPH, OPSET_IMPORT}:
        raise InputError(
            f"{path}: is no ONNX graph, or is cut off: write it again with kd export RUN"
        )


def _fields(content: bytes) -> Iterator[int]:
    """The numbers of a message's outermost fields. Raises ValueError or IndexError for others."""
    place = 0
    while place < len(content):
        tag, place = _number(content, place)
        # What follows is the field's number, or the length of its bytes.
        value, place = _number(content, place)
        if tag & 7 == BYTES:
            place += value
        elif tag & 7 != NUMBER:
            raise ValueError
        yield tag >> 3
    if place > len(content):
        raise ValueError


def _number(content: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it."""
    number, shift = 0, 0
    while True:
        byte = content[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
