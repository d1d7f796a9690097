"""Source: SigLIP's tokenizer, which Transformers has in Python only, as a tokenizer.json.

The caller holds the result against the original, sentence by sentence (``check_tokenizer``).
"""

from __future__ import annotations

import re
import string
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, normalizers
from transformers.convert_slow_tokenizer import SpmConverter


class _SiglipConverter(SpmConverter):
    """Adds what ``SiglipTokenizer`` does in Python: lower case, no punctuation, single spaces."""

    def normalizer(self, proto: Any) -> Any:
        punctuation = f"[{re.escape(string.punctuation)}]"
        steps = [normalizers.Lowercase()] if self.original_tokenizer.do_lower_case else []
        return normalizers.Sequence(
            [
                *steps,
                normalizers.Replace(Regex(punctuation), ""),
                normalizers.Replace(Regex(r"\s+"), " "),
                normalizers.Strip(),
                super().normalizer(proto),
            ]
        )

    def post_processor(self) -> Any:
        from tokenizers import processors

        end = self.original_tokenizer.eos_token
        return processors.TemplateProcessing(
            single=f"$A {end}",
            special_tokens=[(end, self.original_tokenizer.convert_tokens_to_ids(end))],
        )


def convert_sentencepiece(tokenizer: Any) -> Tokenizer:
    """The same tokenizer, for the library that the runtime uses."""
    converted: Tokenizer = _SiglipConverter(tokenizer).converted()
    converted.add_special_tokens([AddedToken(tokenizer.eos_token, special=True)])
    return converted
