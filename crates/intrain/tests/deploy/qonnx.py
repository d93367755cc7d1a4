"""Every model here against its logits, by the executor of QONNX: as written, and behind cleanup_model."""
import glob
import sys

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model

failures = 0
for path in sorted(glob.glob("*.qonnx.onnx")):
    stem = path.split(".")[0] + "."
    name = open(stem + "name").read()
    model = ModelWrapper(path)
    unit = 2.0 ** next(int(entry.value) for entry in model.model.metadata_props if entry.key == "frac_bits")
    model = model.transform(InferShapes())
    _, c, h, w = model.get_tensor_shape("image")
    images = np.fromfile(stem + "images", dtype=np.uint8).reshape(-1, h, w, c).transpose(0, 3, 1, 2)
    expected = np.fromfile(stem + "logits", dtype="<i8").reshape(len(images), -1)
    for word, model in {"as written": model, "behind cleanup_model": cleanup_model(model)}.items():
        image, logits = model.graph.input[0].name, model.graph.output[0].name
        found = [execute_onnx(model, {image: x[None].astype(np.float32)})[logits] for x in images]
        found = np.concatenate(found).astype(np.float64) * unit
        if not np.array_equal(found, expected):
            failures += 1
            print(f"{path} {name}, {word}: {np.count_nonzero(found != expected)} of {expected.size} logits differ")
sys.exit(failures != 0)
