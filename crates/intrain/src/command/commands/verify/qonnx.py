"""MODEL.onnx IMAGES.npy LOGITS.npy and further images and logits as bytes: a line for each way to run it, and what differs."""
import sys
from importlib.metadata import version

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model

model, images, logits, more_images, more_logits = sys.argv[1:]
images, logits = np.load(images), np.load(logits)
_, c, h, w = images.shape
more = np.fromfile(more_images, dtype=np.uint8).reshape(-1, h, w, c).transpose(0, 3, 1, 2)
images = np.concatenate([images, more])
logits = np.concatenate([logits, np.fromfile(more_logits, dtype="<i8").reshape(-1, logits.shape[1])])
model = ModelWrapper(model)
unit = 2.0 ** next(int(entry.value) for entry in model.model.metadata_props if entry.key == "frac_bits")
model = model.transform(InferShapes())
for word, model in {"as written": model, "behind cleanup_model": cleanup_model(model)}.items():
    image, answer = model.graph.input[0].name, model.graph.output[0].name
    found = [execute_onnx(model, {image: x[None].astype(np.float32)})[answer] for x in images]
    found = np.concatenate(found).astype(np.float64) * unit
    differ = np.argwhere(found != logits)
    said = ""
    if len(differ):
        i, logit = differ[0]
        said = f"image {i}, logit {logit}: {found[i, logit]}, and {logits[i, logit]} is right"
    print(f"qonnx {version('qonnx')}, {word}\t{said}")
