"""Configurations of tiny encoders of the families that tests go through."""

from transformers import (
    AlbertConfig,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    NomicBertConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)


def sizes_of(**changes: int) -> dict[str, int]:
    """The sizes of a tiny BERT, some of them changed."""
    return {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
    } | changes


def tiny_configs(*families: str, **changes: int) -> dict[str, PreTrainedConfig]:
    """family → configuration, of the sizes that `sizes_of` gives."""
    sizes = sizes_of(**changes)
    distilbert = {
        "vocab_size": sizes["vocab_size"],
        "dim": sizes["hidden_size"],
        "n_layers": sizes["num_hidden_layers"],
        "n_heads": sizes["num_attention_heads"],
        "hidden_dim": sizes["intermediate_size"],
        "max_position_embeddings": sizes["max_position_embeddings"],
    }
    special = {f"{name}_token_id": n for n, name in enumerate(("pad", "bos", "eos"))}
    found = {
        "albert": AlbertConfig(**sizes, embedding_size=8),
        "bert": BertConfig(**sizes),
        "camembert": CamembertConfig(**sizes, pad_token_id=1),
        "deberta": DebertaV2Config(**sizes, relative_attention=True, pos_att_type=["c2p", "p2c"]),
        "distilbert": DistilBertConfig(**distilbert),
        "electra": ElectraConfig(**sizes, embedding_size=8),
        # A window of 4 tokens on each side.
        "modernbert": ModernBertConfig(
            **sizes, **special, cls_token_id=1, sep_token_id=2, local_attention=8
        ),
        "mpnet": MPNetConfig(**sizes, pad_token_id=1),
        "nomic_bert": NomicBertConfig(**sizes, pad_token_id=0),
        # Not 1, so that a first position of 2 is not right by luck.
        "roberta": RobertaConfig(**sizes, pad_token_id=3),
        "xlm-roberta": XLMRobertaConfig(**sizes, pad_token_id=1),
    }
    return {family: found[family] for family in families}
