"""An exported model in onnxruntime: token ids to logits, one text at a time, so that no text's
answer depends on those beside it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from minnow.errors import MinnowError, reason
from minnow.export.graph import IDS, LOGITS, MASK
from minnow.export.parts import Array


class Session:
    """A graph on one thread of the CPU."""

    def __init__(self, model: bytes | Path) -> None:
        """Load a graph, given as bytes or as a file.

        Raises:
            MinnowError: onnxruntime cannot load it.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = ort.InferenceSession(source, options, ["CPUExecutionProvider"])
        except Exception as error:  # of a class that onnxruntime does not name
            raise MinnowError(
                f"onnxruntime cannot load the exported model ({reason(error)}); make it anew"
            ) from None

    def batch(self, ids: Array, mask: Array) -> Array:
        """Return the logits (rows, labels) of padded token ids (rows, tokens) and their mask."""
        (logits,) = self._session.run([LOGITS], {IDS: ids, MASK: mask})
        return np.asarray(logits)

    def alone(self, ids: Sequence[int] | Array) -> Array:
        """Return the logits (labels,) of one text's token ids."""
        row = np.asarray(ids, np.int64)[None]
        return np.asarray(self.batch(row, np.ones_like(row))[0])

    def each(self, texts: Iterable[Sequence[int] | Array]) -> Array:
        """Return the logits (rows, labels) of texts, each run by itself."""
        return np.stack([self.alone(ids) for ids in texts])
