"""What there is to know of an operator."""

from dataclasses import dataclass
from enum import StrEnum, auto

from tidegate.models.graph.bound_rules import BoundRule
from tidegate.models.graph.flop_rules import FlopRule
from tidegate.models.graph.shape_rules import ShapeRule


class Kind(StrEnum):
    """What an operator does with values."""

    LAYER = auto()
    """Multiplies by weights: a convolution or a linear layer."""
    PRODUCT = auto()
    """Multiplies values with values, as matrices."""
    ACTIVATION = auto()
    """An activation function, value by value: thresholds make sense behind it."""
    ELEMENTWISE = auto()
    """Any other function value by value, of one tensor or of several that are broadcast."""
    NORMALIZATION = auto()
    """Each value by statistics of those beside it."""
    POOL = auto()
    """A window slides over height and width."""
    REDUCTION = auto()
    """Takes axes away."""
    RESIZE = auto()
    """Interpolates between values."""
    VIEW = auto()
    """The same memory under another shape."""
    COPY = auto()
    """Values chosen, joined or rearranged in memory of their own."""


class Quantization(StrEnum):
    """How 8-bit quantization treats an operator, in the words of NNCF."""

    WEIGHTS_AND_INPUTS = auto()
    """Input and weights are quantized: this is where integers pay."""
    INPUTS = auto()
    """Quantizable inputs; the output has a scale of its own."""
    SHARED_SCALES = auto()
    """Quantizable where all inputs, a number among them, have one scale, which the output takes over."""
    AGNOSTIC = auto()
    """Gives only values of its input: the output takes over scale and zero point."""
    CLAMP = auto()
    """Cuts values off, as the quantizer behind it does: folded into that."""
    NOT_QUANTIZABLE = auto()
    """Computed in floating point."""


class Domain(StrEnum):
    """What an argument stands for, and by that what it may be."""

    X = auto()
    """The value that comes in."""
    POSITIVE_X = auto()
    """The same where it must be above 0."""
    VALUES = auto()
    """Several values of one shape."""
    OTHER = auto()
    """A value, a weight per channel or a number."""
    DIVISOR = auto()
    """A number that isn't 0."""
    NUMBER = auto()
    POSITIVE = auto()
    FLAG = auto()
    LOWER = auto()
    """A lower limit: at most the upper one."""
    UPPER = auto()
    CONVOLUTION_WEIGHT = auto()
    """(outputs, inputs / groups, height, width)"""
    TRANSPOSED_WEIGHT = auto()
    """(inputs, outputs / groups, height, width)"""
    LINEAR_WEIGHT = auto()
    """(outputs, inputs)"""
    MATRIX = auto()
    """(inputs, outputs)"""
    TABLE = auto()
    """(rows, width): rows that are looked up"""
    ROW_NUMBERS = auto()
    """Values that are whole numbers, cut off to those of the table's rows."""
    BIAS = auto()
    """One number per output of the weight before it, or None."""
    SCALE = auto()
    """A weight by which normalized values are multiplied, or None."""
    SHIFT = auto()
    """A weight that is added to normalized values; None where there is no scale."""
    KERNEL = auto()
    """Height and width of a window."""
    STRIDE = auto()
    PADDING = auto()
    """At most half of the window."""
    DILATION = auto()
    OUTPUT_PADDING = auto()
    """Less than the stride."""
    GROUPS = auto()
    """Divides the channels."""
    AVERAGE_DIVISOR = auto()
    """What a pool divides by, None for the size of the window."""
    IMAGE_SIZE = auto()
    """Height and width."""
    WANTED_SIZE = auto()
    """Height and width, or None where factors say it."""
    FACTORS = auto()
    """What height and width are multiplied by; None where the size is given."""
    AXIS = auto()
    """Any but the samples', from the front or from behind."""
    AXES = auto()
    """Some, not all."""
    LAST_AXIS = auto()
    """Where a run of axes ends."""
    ORDER = auto()
    """All axes, the samples' in front."""
    NORMALIZED = auto()
    """The last sizes of the value's shape."""
    SIZES = auto()
    """Another shape for as many values, the samples' size in front."""
    PADS = auto()
    """Before and behind, from the last axis on; negative ones cut off."""
    START = auto()
    END = auto()
    STEP = auto()
    GELU_FORMULA = auto()
    """`none` for the exact one, `tanh`"""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument, by its name in torch's schema."""

    name: str
    domain: Domain
    optional: bool = False
    """May be left out, together with all that are behind it."""
    by_name: bool = False
    """Given by name only, or left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A pure function of tensors, named as torch names it: `aten.relu.default`.

    None runs code, reads files, or makes tensors out of numbers alone.
    """

    name: str
    kind: Kind
    parameters: tuple[Parameter, ...]
    """In order. Arguments of torch's schema that are not named here have no meaning in a graph."""
    shape: ShapeRule
    bounds: BoundRule
    flops: FlopRule
    quantization: Quantization
    takes_epilogue: bool = False
    """Whether engines compute an elementwise operator that alone reads its result in the same kernel."""

    @property
    def is_elementwise(self) -> bool:
        """Whether each value of the result comes of the values in its place."""
        return self.kind in {Kind.ACTIVATION, Kind.ELEMENTWISE}
