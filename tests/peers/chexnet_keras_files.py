"""Make what CheXNet-Keras would have released, with random weights, and what it answers. Run with .peers.

python chexnet_keras_files.py FOLDER: writes weights.h5, whole.h5 and answers.npz (films (16, 224, 224), probabilities
(16, 14)). Built and normalised as that project does it, in Keras 2.
"""

import pathlib
import sys

import numpy as np
import tf_keras

folder = pathlib.Path(sys.argv[1])
tf_keras.utils.set_random_seed(0)
base = tf_keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(224, 224, 3), pooling="avg")
outputs = tf_keras.layers.Dense(14, activation="sigmoid", name="predictions")(base.output)
model = tf_keras.Model(base.input, outputs)
rng = np.random.default_rng(0)
for layer in model.layers:
    if isinstance(layer, tf_keras.layers.BatchNormalization):
        gamma, beta, mean, variance = layer.get_weights()
        layer.set_weights(
            [
                rng.uniform(0.8, 1.2, gamma.shape),
                rng.normal(0, 0.1, beta.shape),
                rng.normal(0, 0.1, mean.shape),
                rng.uniform(0.5, 1.5, variance.shape),
            ]
        )
# Of different brightness, so that the answers differ too.
films = (rng.random((16, 224, 224)) * rng.uniform(0.1, 1, (16, 1, 1))).astype(np.float32)
kernel, bias = model.layers[-1].get_weights()
model.layers[-1].set_weights([kernel * 10, bias])
coloured = np.repeat(films[..., None], 3, axis=3)
answers = model.predict((coloured - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], verbose=0)
model.save_weights(folder / "weights.h5")
model.save(folder / "whole.h5")
np.savez(folder / "answers.npz", films=films, answers=answers)
