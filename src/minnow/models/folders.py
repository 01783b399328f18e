"""Model folders: saved, loaded, sized by part."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from minnow.core import kernels
from minnow.core.files import ADAPTERS_KEY, MANIFEST, write_manifest
from minnow.core.runtime import Runtime
from minnow.errors import MinnowError, listed, reason
from minnow.models import adapters, embeddings
from minnow.models.anatomy import check_kind
from minnow.models.declared import shape_of_config
from minnow.models.enclosed import (
    CONFIG,
    check_complete,
    enclosed,
    library_errors,
    model_files,
)
from minnow.models.heads import with_float32_logits

# Keys that differ between runs or machines without changing the model.
VARYING_KEYS = {
    "local_files_only",
    "name_or_path",
    "_name_or_path",
    "is_local",
    "_commit_hash",
    "special_tokens_map_file",
    "tokenizer_file",
}


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    facts: Mapping[str, Any] | None = None,
    compact: bool = False,
) -> None:
    """Write a Hugging Face folder that is the same bytes for the same model, with `manifest.json`
    beside it.

    `facts` go into the manifest, such as the base that the model came from. `compact` leaves the
    blanks and line breaks out of `tokenizer.json`, a third of it and more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    strip_varying_keys(folder)
    if compact:
        squeeze(folder / "tokenizer.json")
    # safetensors gives its files to their owner alone; the others follow the umask.
    mode = (folder / "config.json").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)
    counted = {"parameters": count_parameters(model), "bytes_by_part": bytes_by_part(model, folder)}
    write_manifest(folder, {**(facts or {}), **counted})


def strip_varying_keys(folder: Path) -> None:
    """Remove from the JSON files what differs between runs or machines, such as the path loaded
    from.
    """
    for file in folder.glob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and not content.keys().isdisjoint(VARYING_KEYS):
            kept = {key: value for key, value in content.items() if key not in VARYING_KEYS}
            file.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def squeeze(file: Path) -> None:
    """Write a JSON file anew without the blanks and line breaks between its values, in the order
    that they stand in.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )


def load_model(folder: Path, **options: Any) -> PreTrainedModel:
    """Return the model of a folder that `save` wrote, in eval mode; `options` go to
    `from_pretrained`.

    Raises:
        MinnowError: a file of it is damaged, a library that the model needs is missing or too old,
            its embeddings are packed in a new way, or config and weights do not belong together.
    """
    with _readable(folder) as inner:
        check_complete(folder, model_files(folder))
        config = _config_in(inner, folder)
        adapted = adapters.adapters_of_config(config)
        shape_of_config(config, inner)
        if adapted is not None:
            config.transformers_weights = adapters.WEIGHTS
            options = {"config": config, **options}
        model = _from_pretrained(config, inner, folder, options)
        if adapted is not None:
            del model.config.transformers_weights
            adapters.connect(model, adapted.layers, adapted.scale)
    kernels.hold_back(model)
    model.eval()
    return model


def _from_pretrained(
    config: PreTrainedConfig, inner: Path, folder: Path, options: Mapping[str, Any]
) -> PreTrainedModel:
    try:
        model: PreTrainedModel
        model, seen = model_class(config).from_pretrained(
            inner,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        raise MinnowError(
            f"{folder}: its weights have other shapes than config.json says; make it anew"
        ) from None
    if missing := sorted(seen["missing_keys"]):  # transformers would draw them at random
        raise MinnowError(f"{folder} lacks weights ({listed(missing, 2)}); make or get it anew")
    return model


def load_config(folder: Path) -> PreTrainedConfig:
    """Return the config of a folder that `save` wrote.

    Raises:
        MinnowError: it is missing, damaged, or of a kind that Minnow does not take.
    """
    with _readable(folder) as inner:
        return _config_in(inner, folder)


def _config_in(inner: Path, folder: Path) -> PreTrainedConfig:
    config: PreTrainedConfig = AutoConfig.from_pretrained(
        inner, local_files_only=True, trust_remote_code=False
    )
    check_kind(config.model_type, str(folder))
    packed: Any = getattr(config, "quantization_config", None)
    if packed is not None and packed.get("quant_method") != "bitsandbytes":
        raise MinnowError(
            f"{folder / CONFIG} says that its weights are packed in a way that is not Minnow's;"
            " get the folder anew"
        )
    return config


@contextmanager
def _readable(folder: Path) -> Iterator[Path]:
    """Yield what the libraries may read of a folder, and turn what they say of it into one line."""
    try:
        with (
            library_errors(f"{folder} cannot be loaded", "make or download it anew"),
            enclosed(folder) as inner,
        ):
            yield inner
    except ImportError as error:
        raise MinnowError(
            f"{folder} cannot be loaded here ({reason(error)}); `make install` installs what is"
            " missing"
        ) from None


def model_class(config: PreTrainedConfig) -> type[Any]:
    """Return what loads a config's model: transformers' own class, with room for what else the
    config speaks of.
    """
    packed, adapted = embeddings.tables_of_config(config), adapters.adapters_of_config(config)
    if packed is None and adapted is None:
        return AutoModelForSequenceClassification
    classes: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    plain: type[Any] = classes[type(config)]

    def make(self: PreTrainedModel, *args: Any, **options: Any) -> None:
        plain.__init__(self, *args, **options)
        if packed is not None:
            embeddings.make_room_for_tables(self, packed)
        if adapted is not None:
            adapters.make_room_for_adapters(self, adapted.layers, adapted.rank)

    # Under the same name: that is what a save writes into config.json.
    return type(plain.__name__, (plain,), {"__init__": make, "__module__": plain.__module__})


def load_for_inference(folder: Path, run: Runtime) -> PreTrainedModel:
    """Return the model on the run's device: in the run's dtype or as it was quantized, its logits
    in float32.
    """
    if getattr(load_config(folder), "quantization_config", None) is not None:
        model = load_model(folder, device_map={"": run.device})
    else:
        model = load_model(folder, dtype=run.dtype)
        nn.Module.to(model, run.device)  # transformers' own `to` has lost its type
    return with_float32_logits(model)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder that `save` wrote.

    Raises:
        MinnowError: it is missing or damaged.
    """
    with _readable(folder) as inner:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            inner, local_files_only=True, trust_remote_code=False
        )
    return tokenizer


def count_parameters(model: PreTrainedModel) -> int:
    """Return the number of weights, those packed into 4 bits or into rows of bytes counted
    singly.
    """
    packed = [each for each in model.modules() if isinstance(each, embeddings.QuantizedEmbedding)]
    return int(model.num_parameters()) + sum(each.rows * each.width for each in packed)


def bytes_by_part(model: PreTrainedModel, folder: Path) -> dict[str, int]:
    """Return the bytes of a saved model by part: `embeddings`, `body`, `head` (weights) and `other`
    (all else).
    """
    prefix = f"{model.base_model_prefix}."
    tables = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Embedding, embeddings.QuantizedEmbedding))
    ]
    parts = {"embeddings": 0, "body": 0, "head": 0}
    for file in folder.glob("*.safetensors"):
        for name, size in tensor_bytes(file).items():
            parts[part_of(name, prefix, tables)] += size
    return {**parts, "other": folder_bytes(folder) - sum(parts.values())}


def folder_bytes(folder: Path) -> int:
    """Return the bytes of everything that a model's folder needs to run: all but its manifest."""
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and file.name != MANIFEST
    )


def tensor_bytes(file: Path) -> dict[str, int]:
    """Return the bytes of each tensor in a safetensors file."""
    return {
        name: fact["data_offsets"][1] - fact["data_offsets"][0]
        for name, fact in tensor_facts(file).items()
    }


def tensor_facts(file: Path) -> dict[str, Any]:
    """Return dtype, shape and place of each tensor in a safetensors file that Minnow wrote, which
    opens with this as JSON.
    """
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return {name: fact for name, fact in header.items() if name != "__metadata__"}


def part_of(name: str, prefix: str, tables: Collection[str]) -> str:
    """Return which part a weight belongs to, by its name, the prefix of the body's names and the
    names of tables.

    Embeddings are the tables and what stands beside them, such as their norm.
    """
    if not name.startswith((prefix, ADAPTERS_KEY)):
        return "head"
    return "embeddings" if "embeddings." in name or name.rpartition(".")[0] in tables else "body"
