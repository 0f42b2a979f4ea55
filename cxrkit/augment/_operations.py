"""The operations that a recipe can use, their parameters, and the legal values of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A list of values, at least one. One is drawn for each image, all with the same probability."""

    values: tuple[float, ...]

    def __repr__(self) -> str:
        return repr(list(self.values))


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation. `cxrkit.words` has the words about it: `lab.of.<operation>.<parameter>`.

    Args:
        name, low, high: imgaug's name for it; the legal range, both ends included (without meaning with `options`).
        default, step, unit: the value of a new operation in the lab, the step of its slider, and the unit.
        whole: only whole numbers are legal.
        drawn: the value may also be a range or a list.
        per_image: one value is drawn for each image. If False, imgaug draws one for each pixel or square.
        options: the only legal values.
        left_out: the value if none is given; None means that a value is required.
    """

    name: str
    low: float
    high: float
    default: "float | str | tuple[float, float]"
    step: float = 0.01
    unit: str = ""
    whole: bool = False
    drawn: bool = True
    per_image: bool = True
    options: tuple[float | str, ...] = ()
    left_out: "float | str | tuple[float, float] | None" = None


_MAX_SEED = 2**31 - 1
#: imgaug draws pixels and squares from this seed, which is itself drawn for each image.
SEED = Parameter("seed", 0, _MAX_SEED, (0, _MAX_SEED), 1, whole=True, drawn=False, left_out=(0, _MAX_SEED))
_SCALE = Parameter("scale", 0, 255, (0, 7.65), 0.05, "grey levels")
_MODES = ("constant", "edge", "symmetric", "reflect", "wrap")
_MUL = Parameter("mul", 0, 10, (0.5, 1.5), 0.01, "factor")
_EACH_MUL = Parameter("mul", 0, 10, (0.5, 1.5), 0.01, "factor", per_image=False)
_LIST: dict[str, tuple[Parameter, ...]] = {
    "Noop": (),
    "Fliplr": (Parameter("p", 0, 1, 0.5, 0.05, "probability", drawn=False),),
    "Add": (Parameter("value", -255, 255, (-20, 20), 1, "grey levels"),),
    "AdditiveGaussianNoise": (_SCALE, SEED),
    "AdditiveLaplaceNoise": (_SCALE, SEED),
    "Multiply": (_MUL,),
    "MultiplyElementwise": (_EACH_MUL, SEED),
    "SaltAndPepper": (Parameter("p", 0, 1, 0.05, 0.01, "fraction of pixels"), SEED),
    "Sharpen": (
        Parameter("alpha", 0, 1, (0.0, 0.2), 0.01, "share"),
        Parameter("lightness", 0, 10, (0.75, 1.25), 0.05, left_out=1.0),
    ),
    "GammaContrast": (Parameter("gamma", 0, 10, (0.7, 1.3), 0.01, "exponent"),),
    "LinearContrast": (Parameter("alpha", 0, 10, (0.75, 1.33), 0.01, "factor"),),
    "GaussianBlur": (Parameter("sigma", 0, 50, (0.0, 2.5), 0.1, "pixels"),),
    "Affine": (
        Parameter("scale", 0.1, 10, (0.9, 1.1), 0.01, "factor", left_out=1.0),
        Parameter("translate_x", -1, 1, (-0.05, 0.05), 0.01, "of the width", left_out=0.0),
        Parameter("translate_y", -1, 1, (-0.05, 0.05), 0.01, "of the height", left_out=0.0),
        Parameter("rotate", -180, 180, (-8, 8), 1, "degrees", left_out=0.0),
        Parameter("shear", -60, 60, 0.0, 1, "degrees", left_out=0.0),
        Parameter("order", 0, 3, 1, whole=True, drawn=False, options=(0, 1, 3), left_out=1),
        Parameter("cval", 0, 255, 0, 1, "grey level", drawn=False, left_out=0),
        Parameter("mode", 0, 0, "reflect", drawn=False, options=_MODES, left_out="constant"),
    ),
    "AllChannelsHistogramEqualization": (),
    "AllChannelsCLAHE": (
        Parameter("clip_limit", 0.1, 100, (0.5, 4.0), 0.1),
        Parameter("tile_grid_size_px", 3, 64, (4, 12), 1, "tiles", whole=True, left_out=8),
    ),
    "Cutout": (
        Parameter("nb_iterations", 0, 20, (1, 3), 1, "squares", whole=True, left_out=1),
        Parameter("size", 0, 1, (0.1, 0.25), 0.01, "of the height", per_image=False, left_out=0.2),
        Parameter("cval", 0, 255, (0, 255), 1, "grey level", per_image=False, left_out=128),
        SEED,
    ),
}

#: By operation, its parameters by name. Names are imgaug's; `cxrkit.words` has the words: `lab.op.<operation>`.
OPERATIONS: dict[str, dict[str, Parameter]] = {
    name: {parameter.name: parameter for parameter in parameters} for name, parameters in _LIST.items()
}
