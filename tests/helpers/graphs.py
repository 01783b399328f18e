"""ONNX graphs run on padded batches, which the code that ships never does."""

import numpy as np
import numpy.typing as npt

from minnow.serve.onnx import opened

Array = npt.NDArray[np.generic]


class Session:
    """A graph as a release runs it, given token ids and their mask."""

    def __init__(self, graph: bytes) -> None:
        self._session = opened(graph, keep=False)

    def batch(self, ids: Array, mask: Array) -> Array:
        """Return the output of ids and mask, each (rows, tokens)."""
        (logits,) = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        return np.asarray(logits)

    def alone(self, ids: Array) -> Array:
        """Return the logits (labels,) of one text's token ids."""
        row = np.asarray(ids, np.int64)[None]
        return np.asarray(self.batch(row, np.ones_like(row))[0])

    def each(self, texts: list[Array]) -> Array:
        """Return the logits (rows, labels) of texts, each run by itself."""
        return np.stack([self.alone(ids) for ids in texts])
