"""MODEL.onnx IMAGES LOGITS H,W,C,CLASSES UNIT TOLERANCE SOFTMAX ASKED SCALE SHIFT: how often ONNX Runtime answers otherwise.

IMAGES are bytes [n, h, w, c], LOGITS float64 [n, classes], or int64 where UNIT, what 1 of them is worth, is not 0. SOFTMAX is 1 where the
model answers with theirs. A model of floats sees SCALE * x + SHIFT of each channel; one of bytes does not where ASKED is 1.
For each way to run it a line: name, differing logits, images with any, images of another class, largest difference. What is refused ends
with status 3 and the reason.
"""
import sys

import numpy as np
import onnxruntime as ort


def refuse(reason):
    print(reason, file=sys.stderr)
    sys.exit(3)


model, images, logits, shape, unit, tolerance, softmax, asked, scale, shift = sys.argv[1:]
scale, shift = (np.array([float(v) for v in line.split(",")]).reshape(1, -1, 1, 1) for line in (scale, shift))
h, w, c, classes = (int(word) for word in shape.split(","))
unit, tolerance = float(unit), float(tolerance)
images = np.fromfile(images, dtype=np.uint8).reshape(-1, h, w, c)
logits = np.fromfile(logits, dtype="<i8" if unit else "<f8").reshape(-1, classes)
levels = {"off": ort.GraphOptimizationLevel.ORT_DISABLE_ALL, "on": ort.GraphOptimizationLevel.ORT_ENABLE_ALL}
for word, level in levels.items():
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entering, leaving = session.get_inputs(), session.get_outputs()
    if len(entering) != 1:
        refuse(f"it has {len(entering)} inputs; export one that takes the image alone")
    entering = entering[0]
    if len(entering.shape) != 4 or any(isinstance(a, int) and a != b for a, b in zip(entering.shape[1:], (c, h, w))):
        refuse(f"it takes {entering.shape}, and the images are [n, {c}, {h}, {w}]; name the data and the network that it was made of")
    if entering.type not in ("tensor(float)", "tensor(uint8)"):
        refuse(f"it takes {entering.type}; export it with an image of float32 or uint8")
    if entering.type == "tensor(uint8)" and int(asked):
        refuse("it takes bytes as they are; leave --pixels, --mean and --std out")
    fixed = entering.shape[0] if isinstance(entering.shape[0], int) and entering.shape[0] > 0 else None
    for batch in (fixed,) if fixed else (1, 64):
        found = []
        for i in range(0, len(images), batch):
            x = images[i : i + batch].transpose(0, 3, 1, 2)
            n = len(x)
            if entering.type == "tensor(float)":
                x = (x * scale + shift).astype(np.float32)
            if n < batch and fixed:
                x = np.concatenate([x, np.repeat(x[-1:], batch - n, 0)])
            found.append(session.run([leaving[0].name], {entering.name: np.ascontiguousarray(x)})[0].reshape(len(x), -1)[:n])
        found = np.concatenate(found)
        if found.shape != logits.shape:
            refuse(f"it answers with {found.shape[1]} numbers, and the network here has {classes} classes; name the network that it was made of")
        expected = logits
        if unit and not np.issubdtype(found.dtype, np.integer):
            expected = logits * unit
        if int(softmax):
            raised = np.exp(logits - logits.max(1, keepdims=True))
            expected = raised / raised.sum(1, keepdims=True)
        sizes = np.abs(expected)[np.isfinite(expected)]
        limit = tolerance * (sizes.max() if len(sizes) else 0)
        with np.errstate(invalid="ignore"):
            apart = np.abs(found - expected)
            equal = (found == expected) | (apart <= limit)
        worth = unit if expected is logits and unit else 1
        largest = apart[np.isfinite(apart)].max(initial=0) * worth
        other = (found.argmax(1) != expected.argmax(1)).sum()
        counts = f"{(~equal).sum()}\t{(~equal).any(1).sum()}\t{other}\t{largest}"
        print(f"ONNX Runtime {ort.__version__}, optimizations {word}, batch {batch}\t{counts}")
