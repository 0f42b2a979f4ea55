"""Make what TorchXRayVision would have released, with random weights, and what it answers. Run with .peers.

python torchxrayvision_files.py FOLDER: writes whole.pt (the module pickled, as it is released), state.pt (its state
dict), evil.pt (a pickle that writes a file when opened), answers.npz (films (16, 224, 224) and raw sigmoids (16, 18)).
"""

import pathlib
import sys

import numpy as np
import torch

# torchvision's own build is for CUDA: torchxrayvision only imports it, and the import asks for these two.
operators = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchxrayvision  # noqa: E402 - after the two operators that it asks for


class Evil:
    def __reduce__(self):
        return (pathlib.Path(sys.argv[1], "was-run").touch, ())


folder = pathlib.Path(sys.argv[1])
torch.manual_seed(0)
model = torchxrayvision.models.DenseNet(weights=None, num_classes=18, in_channels=1, apply_sigmoid=True)
films = torch.rand(16, 1, 224, 224)
low_contrast = torch.nn.functional.interpolate(torch.rand(16, 1, 14, 14), size=224, mode="bilinear")
films = (films * 0.2 + low_contrast * 0.8).clip(0, 1)
shown = films * 2048 - 1024
with torch.no_grad():
    # Statistics of real activations, so that the answers are neither all 0 nor all 1.
    model.train()
    for _ in range(4):
        model(shown)
    model.classifier.bias.normal_()
    model.eval()
    answers = model(shown)
torch.save(model, folder / "whole.pt")
torch.save(model.state_dict(), folder / "state.pt")
torch.save(Evil(), folder / "evil.pt")
np.savez(folder / "answers.npz", films=films[:, 0].numpy(), answers=answers.numpy())
