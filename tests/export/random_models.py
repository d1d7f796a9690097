"""Dual encoders of Transformers with random weights, saved as their real checkpoints are."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizerFast,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipTokenizer,
)

from models.data.batches import class_names

FAMILIES = ("clip", "metaclip_2", "siglip", "siglip2")
POSITIONS = 32
HIDDEN = 64
SIDE = 64
SMALL: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
PICTURE = {"image_size": SIDE, "patch_size": 16}


def save_random_model(family: str, folder: Path) -> Path:
    """A small checkpoint of a family; the same every time."""
    torch.manual_seed(0)
    tokenizer: PreTrainedTokenizerBase
    if family in {"clip", "metaclip_2"}:
        tokenizer = _clip_tokenizer(folder)
        size = {"shortest_edge": SIDE}
        CLIPImageProcessor(size=size, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
            folder
        )
        text = SMALL | {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": POSITIONS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        make, config = {
            "clip": (CLIPModel, CLIPConfig),
            "metaclip_2": (_of_transformers("MetaClip2Model"), _of_transformers("MetaClip2Config")),
        }[family]
        vision = SMALL | PICTURE
        made = make(config(text_config=text, vision_config=vision, projection_dim=48))
    else:
        tokenizer = _siglip_tokenizer(folder) if family == "siglip" else _gemma_like_tokenizer()
        SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
        text = SMALL | {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": POSITIONS,
            "projection_size": HIDDEN,
        }
        made = SiglipModel(SiglipConfig(text_config=text, vision_config=SMALL | PICTURE))
    tokenizer.save_pretrained(folder)
    made.eval().save_pretrained(folder)
    return folder


def save_base_model(folder: Path) -> Path:
    """CLIP ViT-B/32 in its true size, 151 million parameters."""
    torch.manual_seed(0)
    tokenizer = _clip_tokenizer(folder)
    CLIPImageProcessor().save_pretrained(folder)
    text = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    CLIPModel(CLIPConfig(text_config=text)).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _of_transformers(name: str) -> Any:
    """A class that its types do not name."""
    return getattr(transformers, name)


def _sentences() -> list[str]:
    alone = " ".join(string.printable)
    return [alone, *(f"a photo of a {name}" for names in class_names() for name in names)]


def _clip_tokenizer(folder: Path) -> CLIPTokenizerFast:
    marks = ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=marks,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sentences(), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = tokenizer.model.save(str(folder))
    # As in CLIP's, every byte may also end a word: nothing is unknown.
    words = json.loads(Path(vocabulary).read_text("utf-8"))
    for byte in pre_tokenizers.ByteLevel.alphabet():
        words.setdefault(f"{byte}</w>", len(words))
    Path(vocabulary).write_text(json.dumps(words), "utf-8")
    return CLIPTokenizerFast(vocabulary, merges, model_max_length=POSITIONS)


def _siglip_tokenizer(folder: Path) -> SiglipTokenizer:
    """As SigLIP's: sentencepiece, in Python."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for text in _sentences()]),
        model_prefix=str(folder / "spiece"),
        vocab_size=800,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        minloglevel=2,
    )
    return SiglipTokenizer(str(folder / "spiece.model"), model_max_length=POSITIONS)


def _gemma_like_tokenizer() -> PreTrainedTokenizerFast:
    """As SigLIP 2's: fast, an end mark, padding of its own."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    trainer = trainers.UnigramTrainer(
        vocab_size=800,
        special_tokens=["<pad>", "<eos>", "<bos>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sentences(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        model_max_length=POSITIONS,
    )
