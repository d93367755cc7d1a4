"""MODEL.onnx IMAGES.npy LOGITS.npy and further images and logits as bytes: a line for each way to run it, and what differs."""
import sys

import numpy as np
import onnxruntime as ort

model, images, logits, more_images, more_logits = sys.argv[1:]
images, logits = np.load(images), np.load(logits)
n, c, h, w = images.shape
more = np.fromfile(more_images, dtype=np.uint8).reshape(-1, h, w, c).transpose(0, 3, 1, 2)
images = np.concatenate([images, more])
logits = np.concatenate([logits, np.fromfile(more_logits, dtype="<i8").reshape(-1, logits.shape[1])])
levels = {"off": ort.GraphOptimizationLevel.ORT_DISABLE_ALL, "on": ort.GraphOptimizationLevel.ORT_ENABLE_ALL}
for word, level in levels.items():
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for batch in (1, 64):
        parts = [session.run(["logits"], {"image": images[i : i + batch]})[0] for i in range(0, len(images), batch)]
        found = np.concatenate(parts)
        differ = np.argwhere(found != logits)
        said = ""
        if len(differ):
            image, logit = differ[0]
            said = f"image {image}, logit {logit}: {found[image, logit]}, and {logits[image, logit]} is right"
        print(f"ONNX Runtime {ort.__version__}, optimizations {word}, batch {batch}\t{said}")
