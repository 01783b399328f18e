"""Code that loads a released model, as its card shows it."""

import inspect

from minnow.serve.settings import FILE
from minnow.text import cleaning

WITH_MINNOW = """\
import minnow

classifier = minnow.load(".")  # or huggingface_hub.snapshot_download("owner/name")
urls = ["http://example.org/", "login.example.com/verify?account=1"]
probabilities, labels = classifier.predict(urls)
for url, probability, label in zip(urls, probabilities, labels):
    print(f"{label} {probability:.4f} {url}")"""
IMPORTS = """\
import html
import json
import re
from html.entities import html5
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer"""
CALLS = f"""\
folder = Path(".")  # or huggingface_hub.snapshot_download("owner/name")
settings = json.loads((folder / "{FILE}").read_text(encoding="utf-8"))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
linear = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
*_, head = (layer for layer in linear if layer.out_features == 2)
head.float()  # in bfloat16 many URLs would get the same logits
head.register_forward_pre_hook(lambda layer, inputs: (inputs[0].float(),))

urls = ["http://example.org/", "login.example.com/verify?account=1"]
texts = [normalise(url, move_scheme=settings["text"]["move_scheme"]) for url in urls]
options = dict(truncation=True, padding=True, return_token_type_ids=False, return_tensors="pt")
batch = tokenizer(texts, **options)
with torch.inference_mode():
    logits = model(**batch.to(model.device)).logits.double()
margins = logits[:, 1] - logits[:, 0]
probabilities = torch.sigmoid(margins / settings["temperature"])
for url, margin, probability in zip(urls, margins, probabilities):
    label = settings["labels"][int(margin > settings["decision"]["threshold"])]
    print(f"{{label}} {{probability:.4f}} {{url}}")"""


ONNX_IMPORTS = """\
import html
import json
import math
import os
import re
from html.entities import html5
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, or it reports on its use
import onnxruntime"""
ONNX_CALLS = f"""\
folder = Path(".")  # or huggingface_hub.snapshot_download("owner/name")
settings = json.loads((folder / "{FILE}").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(settings["max_length"])
tokenizer.no_padding()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # more are no faster for one URL
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
own = settings.get("onnx", settings)  # its own temperature and threshold

urls = ["http://example.org/", "login.example.com/verify?account=1"]
for url in urls:  # one at a time, so that no answer depends on other URLs
    text = normalise(url, move_scheme=settings["text"]["move_scheme"])
    ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
    fed = {{"input_ids": ids, "attention_mask": np.ones_like(ids)}}
    safe, phishing = session.run(["logits"], fed)[0][0].astype(float)
    margin = phishing - safe
    probability = (1 + math.tanh(margin / own["temperature"] / 2)) / 2
    label = settings["labels"][int(margin > own["decision"]["threshold"])]
    print(f"{{label}} {{probability:.4f}} {{url}}")"""


def stand_alone() -> str:
    """Return code that needs no Minnow; its cleaning is the very code that Minnow's loader runs."""
    return f"{IMPORTS}\n\n{cleaning_source()}\n\n{CALLS}"


def with_onnx() -> str:
    """Return code that runs model.onnx and needs neither Minnow nor torch, with the same
    cleaning.
    """
    return f"{ONNX_IMPORTS}\n\n{cleaning_source()}\n\n{ONNX_CALLS}"


def cleaning_source() -> str:
    """Return the code that cleans a text."""
    source = inspect.getsource(cleaning)
    return source[source.index("INVISIBLE = ") :]
