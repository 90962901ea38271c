"""Families of Hugging Face configs, as data: model_type -> Family. `family.py` says how one is described.

A module is read only when one of its families is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from scaleplan.model.families.family import Config, Family

MODULES = {
    "dense": """
        llama mistral granite smollm3 qwen2 qwen3 olmo olmo2 phi3 glm glm4 gemma gemma2 gemma3_text nemotron stablelm
        starcoder2 phi
    """,
    "relatives": """
        cohere cohere2 ernie4_5 exaone4 hunyuan_v1_dense seed_oss arcee helium olmo3 ministral ministral3 vaultgemma jais2 cwm
        hyperclovax iquestcoder nanochat apertus bitnet internlm3 gpt_neox_japanese qwen2_vl_text qwen2_5_vl_text
        qwen3_vl_text glm4v_text persimmon
    """,
    "experts": """
        mixtral granitemoe olmoe qwen2_moe qwen3_moe glm4_moe deepseek_v2 deepseek_v3 kimi_k2 llama4_text gpt_oss
    """,
    "mixtures": """
        minicpm3 youtu aria_text hy_v3 deepseek_v32 deepseek_v4 glm_moe_dsa glm4_moe_lite dbrx phimoe minimax_m2 ernie4_5_moe
        dots1 flex_olmo exaone_moe hunyuan_v1_moe solar_open qwen3_vl_moe_text glm4v_moe_text afmoe
    """,
    "state_spaces": """
        mamba mamba2 rwkv qwen3_next
    """,
    "gemma": """
        gemma3n_text gemma4_text
    """,
    "hybrids": """
        olmo_hybrid jamba bamba granitemoehybrid granitemoeshared falcon_h1 nemotron_h lfm2 lfm2_moe minimax recurrent_gemma
        falcon_mamba qwen3_5_text qwen3_5_moe_text
    """,
    "older": """
        gpt2 gpt_bigcode gptj gpt_neo gpt_neox opt bloom falcon mpt
    """,
    "generators": """
        biogpt xglm ctrl openai-gpt codegen
    """,
    "encoders": """
        bert roberta xlm-roberta albert distilbert modernbert t5 bart mt5
    """,
    "masked": """
        gte eurobert modernbert-decoder camembert data2vec-text ernie xlm-roberta-xl megatron-bert roberta-prelayernorm
        electra mpnet longformer big_bird roformer convbert rembert deberta deberta-v2 nomic_bert fnet nystromformer yoso xlm flaubert
        xlnet
    """,
    "translators": """
        mbart plbart mvp pegasus blenderbot blenderbot-small marian m2m_100 bigbird_pegasus led nllb-moe umt5
        switch_transformers longt5
    """,
}
"""Module -> the model types that it describes."""


class Families(Mapping[str, Family]):
    """All families by model_type."""

    def __init__(self) -> None:
        self.homes = {kind: module for module, kinds in MODULES.items() for kind in kinds.split()}

    def __getitem__(self, kind: str) -> Family:
        found: Family = import_module(f"{__name__}.{self.homes[kind]}").FAMILIES[kind]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.homes)

    def __len__(self) -> int:
        return len(self.homes)

    def __contains__(self, kind: object) -> bool:
        return kind in self.homes


FAMILIES = Families()

__all__ = ["FAMILIES", "MODULES", "Config", "Family"]
