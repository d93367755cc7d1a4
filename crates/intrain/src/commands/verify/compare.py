"""MODEL.onnx IMAGES LOGITS CLASSES TOLERANCE SCALE SHIFT: how often ONNX Runtime answers otherwise, a line for each way to run it.

IMAGES are bytes [n, h, w, c]; LOGITS are float64 [n, CLASSES], or int64 where TOLERANCE is 0. A model of floats sees
SCALE * x + SHIFT of each channel. A line: name, differing logits, images with any, images of another class, largest difference.
"""
import sys

import numpy as np
import onnxruntime as ort

model, images, logits, classes, tolerance, scale, shift = sys.argv[1:]
tolerance = float(tolerance)
logits = np.fromfile(logits, dtype="<f8" if tolerance else "<i8").reshape(-1, int(classes))
limit = tolerance * np.abs(logits).max()
levels = {"off": ort.GraphOptimizationLevel.ORT_DISABLE_ALL, "on": ort.GraphOptimizationLevel.ORT_ENABLE_ALL}
for word, level in levels.items():
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entering = session.get_inputs()[0]
    n, c, h, w = entering.shape
    x = np.fromfile(images, dtype=np.uint8).reshape(len(logits), h, w, c).transpose(0, 3, 1, 2)
    if entering.type == "tensor(float)":
        lines = [np.array([float(v) for v in line.split(",")]).reshape(1, -1, 1, 1) for line in (scale, shift)]
        x = (x * lines[0] + lines[1]).astype(np.float32)
    for batch in (1, 64) if isinstance(n, str) else (n,):
        parts = [x[i : i + batch] for i in range(0, len(x), batch)]
        found = []
        for part in parts:
            filled = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)]) if isinstance(n, int) else part
            found.append(session.run(None, {entering.name: filled})[0].reshape(len(filled), -1)[: len(part)])
        found = np.concatenate(found)
        if found.shape != logits.shape:
            sys.exit(f"it answers {found.shape[1]} numbers an image, and the network here {classes}")
        apart = np.abs(found - logits)
        differ = apart > limit
        other = (found.argmax(1) != logits.argmax(1)).sum()
        counts = f"{differ.sum()}\t{differ.any(1).sum()}\t{other}\t{apart.max()}"
        print(f"ONNX Runtime {ort.__version__}, optimizations {word}, batch {batch}\t{counts}")
