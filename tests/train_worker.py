"""One process of a training, as tests/test_train_backends.py starts it; KERAS_BACKEND says on which backend.

python train_worker.py MANIFEST OUT '{"machines": [...], "this": 0, "kill_in": [epoch, step], ...}'
"""

import json
import os
import signal
import sys

import keras
from keras import layers

from cxrkit import train
from cxrkit.labels import FINDINGS

SIZE_PX = 32


def plain_network() -> keras.Model:
    """A network whose films do not touch one another."""
    films = keras.Input((SIZE_PX, SIZE_PX, 1))
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(films)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(films, layers.Dense(len(FINDINGS), activation="sigmoid")(x))


def network() -> keras.Model:
    """A network with all that could part devices: batch normalisation, dropout, a head."""
    films = keras.Input((SIZE_PX, SIZE_PX, 1))
    # No bias: before batch normalisation its gradient is rounding alone, which Adam would blow up.
    x = layers.Conv2D(4, 3, strides=2, use_bias=False)(films)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(films, layers.Dense(len(FINDINGS), activation="sigmoid")(x))


def main(manifest: str, out: str, options: dict) -> None:
    """Train, perhaps dying in the middle of an epoch."""
    if cpus := options.get("logical_cpus"):
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
    devices = train.devices(options.get("cards", 1), machines=options.get("machines", ()), this=options.get("this"))
    if "kill_in" in options:
        _kill_in(*options["kill_in"])
    make = plain_network if options.get("plain") else network
    best_by = "auroc" if options.get("plain") else "val_loss"
    settings = train.Settings(
        size_px=SIZE_PX, batch_size=8, epochs=3, learning_rate=0.01, loss="weighted", best_by=best_by
    )
    train.findings(manifest, out, settings, devices=devices, network=make, cache=f"{out}/films")


def _kill_in(epoch: int, step: int) -> None:
    """End this process as a crash does, after a step of an epoch (both from 0); [epochs, 0]: after the last."""

    def kill(self, batch=0, logs=None):
        if (len(self.rows), batch) == (epoch, step):
            os.kill(os.getpid(), signal.SIGKILL)

    train.EpochAurocs.on_train_batch_end = kill
    train.EpochAurocs.on_train_end = lambda self, logs=None: kill(self)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
