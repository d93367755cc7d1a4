"""Every model here against its logits: optimizations off and all, image by image and all at once."""
import glob
import sys

import numpy as np
import onnxruntime as ort

failures = 0
print(len(glob.glob("*.qdq.onnx")), "as quantized operators")
for path in sorted(glob.glob("*.onnx")):
    stem = path.split(".")[0] + "."
    name = open(stem + "name").read()
    expected = np.fromfile(stem + "logits", dtype="<i8")
    for level in (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        _, c, h, w = session.get_inputs()[0].shape
        images = np.fromfile(stem + "images", dtype=np.uint8).reshape(-1, h, w, c).transpose(0, 3, 1, 2)
        for batch in (1, len(images)):
            found = [session.run(None, {"image": images[i : i + batch]})[0] for i in range(0, len(images), batch)]
            found = np.concatenate(found).reshape(-1)
            if not np.array_equal(found, expected):
                failures += 1
                n = np.count_nonzero(found != expected)
                print(f"{path} {name}, {level}, batch {batch}: {n} of {len(expected)} logits differ")
sys.exit(failures != 0)
