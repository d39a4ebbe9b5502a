"""Ask a running agent what is on some pictures, with Triton's own client: `python ask_shapes.py PICTURE...`."""

import sys

import numpy as np
import tritonclient.http as triton
from PIL import Image

client = triton.InferenceServerClient("127.0.0.1:8700")
pictures = np.stack([np.asarray(Image.open(name))[None] for name in sys.argv[1:]])
model = client.get_model_metadata("shapes")
tensor = triton.InferInput(model["inputs"][0]["name"], list(pictures.shape), "UINT8")
tensor.set_data_from_numpy(pictures)
answer = client.infer("shapes", [tensor])
for name, logits in zip(sys.argv[1:], answer.as_numpy(model["outputs"][0]["name"]), strict=True):
    print(f"{name}: {('circle', 'square', 'triangle')[logits.argmax()]}")
print(answer.get_response()["parameters"])
