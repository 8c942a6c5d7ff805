"""Text becomes the numbers of its tokens, by a tokenizer that is trained on the training items, or given.

Byte-pair encoding: Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words with Subword Units, 2016,
https://arxiv.org/abs/1508.07909. API: https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelyard.datasets.checking import missing
from steelyard.datasets.examples import Array, Examples
from steelyard.errors import DataError, UsageError
from steelyard.numbers import count
from steelyard.preparation.columnwise import none_of
from steelyard.preparation.plain import Tokens
from steelyard.preparation.steps import Serving
from steelyard.records.base import Record

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
PAD_ID, UNKNOWN_ID = 0, 1
"""Of the tokenizers that are trained here."""
IDS, MASK = "input_ids", "attention_mask"


class Tokenised(Record):
    """A tokenizer, and how long texts may be."""

    told: str
    tokenizer: str
    length: int

    @property
    def serving(self) -> Serving:
        """The tokenizer, beside the model."""
        return {"text": (Tokens(tokenizer=self.tokenizer, length=self.length),)}

    def unwanted(self, examples: Examples) -> NDArray[np.bool_]:
        """None."""
        return none_of(examples)

    def apply(self, examples: Examples) -> Examples:
        """`input_ids` and `attention_mask`, int64 [items, length], instead of `text`."""
        encoded = _encoded(_ready(self.tokenizer, self.length), _texts(examples))
        rest = {name: values for name, values in examples.inputs.items() if name != "text"}
        return examples.with_inputs({**rest, IDS: encoded[0], MASK: encoded[1]})


class Tokenise(Record):
    """Train a tokenizer of `vocabulary` tokens, or take the one in the file `tokenizer` (a tokenizer.json).

    Texts longer than `length` tokens are cut; None: the length that 99% of the training items keep.
    """

    vocabulary: int = 8000
    length: int | None = None
    tokenizer: str | None = None
    lowercase: bool = True

    def fit(self, examples: Examples) -> Tokenised:
        """Raises DataError when there is no text, or a text is missing."""
        texts = _texts(examples)
        tokenizer = _read(self.tokenizer) if self.tokenizer else _trained(texts, self.vocabulary, self.lowercase)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        lengths = np.array([len(one.ids) for one in tokenizer.encode_batch(texts)])
        length = self.length or max(2, int(np.ceil(np.quantile(lengths, 0.99))))
        cut = int((lengths > length).sum())
        told = f"tokens: {count(tokenizer.get_vocab_size())} different ones, {length} per text at most"
        return Tokenised(
            told=told + (f"; {count(cut)} of {count(len(texts))} texts are longer, and cut" if cut else ""),
            tokenizer=tokenizer.to_str(),
            length=length,
        )


def _texts(examples: Examples) -> list[str]:
    if "text" not in examples.inputs:
        raise DataError(f"the step `tokens` found no text, only {', '.join(examples.inputs)}", "leave it out")
    gaps = missing(examples.inputs["text"])
    if gaps.any():
        raise DataError(
            f"the text is missing in {int(gaps.sum())} items, the first is item {int(gaps.argmax())}",
            "put the step `missing` before it",
        )
    return list(examples.inputs["text"])


def _encoded(tokenizer: Tokenizer, texts: list[str]) -> tuple[Array, Array]:
    encoded: list[Any] = tokenizer.encode_batch(texts)
    ids = np.array([one.ids for one in encoded], np.int64)
    return ids, np.array([one.attention_mask for one in encoded], np.int64)


def _ready(raw: str, length: int) -> Tokenizer:
    """Cuts and fills up to `length`."""
    tokenizer = _package().Tokenizer.from_str(raw)
    pad = next((token for token in (PAD, "<pad>", "<|endoftext|>") if tokenizer.token_to_id(token) is not None), None)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=tokenizer.token_to_id(pad) if pad else PAD_ID, pad_token=pad or PAD)
    ready: Tokenizer = tokenizer
    return ready


def _read(file: str) -> Tokenizer:
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"there is no tokenizer {file}", "it is a tokenizer.json")
    try:
        tokenizer: Tokenizer = _package().Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:
        # The parser raises bare Exceptions, for whatever it stumbles over.
        raise DataError(f"{path} is no tokenizer.json: {error}") from None
    return tokenizer


def _trained(texts: list[str], vocabulary: int, lowercase: bool) -> Tokenizer:
    tokenizers = _package()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=UNKNOWN))
    steps = [tokenizers.normalizers.NFKC(), *([tokenizers.normalizers.Lowercase()] if lowercase else [])]
    tokenizer.normalizer = tokenizers.normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, UNKNOWN, BEGIN, END], show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(name, tokenizer.token_to_id(name)) for name in (BEGIN, END)]
    )
    trained: Tokenizer = tokenizer
    return trained


def _package() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UsageError("tokens need the package tokenizers", 'pip install "steelyard[text]"') from None
    return tokenizers
