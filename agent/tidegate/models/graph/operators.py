"""The table of operators: whatever is known of one stands in its record, and nowhere else.

A new operator is one record here and one converter in each engine (`engines/onnxruntime/converters.py`; the eager
engine calls torch by the operator's name). Tests draw operators and arguments from this table.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from tidegate.models.graph import bound_rules as bounds
from tidegate.models.graph import flop_rules as flops
from tidegate.models.graph import shape_rules as shapes
from tidegate.models.graph.bound_rules import BoundRule
from tidegate.models.graph.flop_rules import FlopRule
from tidegate.models.graph.operator import Domain, Kind, Operator, Parameter, Quantization

ADAPTIVE_AVG_POOL2D = "aten.adaptive_avg_pool2d.default"
ADD = "aten.add.Tensor"
CONV2D = "aten.conv2d.default"
EMBEDDING = "aten.embedding.default"
FLATTEN = "aten.flatten.using_ints"
LAYER_NORM = "aten.layer_norm.default"
LINEAR = "aten.linear.default"
MEAN = "aten.mean.dim"
MUL = "aten.mul.Tensor"
RELU = "aten.relu.default"
VIEW = "aten.view.default"
"""Names of those that other modules look for or make."""

_X = Parameter("self", Domain.X)
_POSITIVE_X = Parameter("self", Domain.POSITIVE_X)
_INPUT = Parameter("input", Domain.X)
_OTHER = Parameter("other", Domain.OTHER)
_ALPHA = Parameter("alpha", Domain.NUMBER, by_name=True)
_BIAS = Parameter("bias", Domain.BIAS, optional=True)
_KERNEL = Parameter("kernel_size", Domain.KERNEL)
_STRIDE = Parameter("stride", Domain.STRIDE, optional=True)
_PADDING = Parameter("padding", Domain.PADDING, optional=True)
_DILATION = Parameter("dilation", Domain.DILATION, optional=True)
_GROUPS = Parameter("groups", Domain.GROUPS, optional=True)
_CEIL = Parameter("ceil_mode", Domain.FLAG, optional=True)
_NORM = (
    Parameter("weight", Domain.SCALE, optional=True),
    Parameter("bias", Domain.SHIFT, optional=True),
    Parameter("eps", Domain.POSITIVE, optional=True),
)
_WANTED_SIZE = Parameter("output_size", Domain.WANTED_SIZE)
_FACTORS = Parameter("scale_factors", Domain.FACTORS)


def _function(
    name: str,
    kind: Kind,
    rule: BoundRule,
    *parameters: Parameter,
    of: Parameter = _X,
    quantization: Quantization = Quantization.NOT_QUANTIZABLE,
) -> Operator:
    """A function of one tensor, value by value."""
    return Operator(
        name=name,
        kind=kind,
        parameters=(of, *parameters),
        shape=shapes.same,
        bounds=rule,
        flops=flops.none,
        quantization=quantization,
    )


def _arithmetic(
    name: str,
    rule: BoundRule,
    *parameters: Parameter,
    flop_rule: FlopRule = flops.none,
    quantization: Quantization = Quantization.NOT_QUANTIZABLE,
    takes_epilogue: bool = False,
) -> Operator:
    """A function of two tensors, value by value."""
    return Operator(
        name=name,
        kind=Kind.ELEMENTWISE,
        parameters=(_X, *parameters),
        shape=shapes.broadcast,
        bounds=rule,
        flops=flop_rule,
        quantization=quantization,
        takes_epilogue=takes_epilogue,
    )


_RECORDS = (
    _function("aten.abs.default", Kind.ELEMENTWISE, bounds.always(0.0, math.inf)),
    Operator(
        name=ADAPTIVE_AVG_POOL2D,
        kind=Kind.POOL,
        parameters=(_X, Parameter("output_size", Domain.IMAGE_SIZE)),
        shape=shapes.adaptive_average,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.INPUTS,
    ),
    _arithmetic(
        ADD,
        bounds.added,
        _OTHER,
        _ALPHA,
        flop_rule=flops.by_weights,
        quantization=Quantization.INPUTS,
        takes_epilogue=True,
    ),
    Operator(
        name="aten.amax.default",
        kind=Kind.REDUCTION,
        parameters=(_X, Parameter("dim", Domain.AXES), Parameter("keepdim", Domain.FLAG, optional=True)),
        shape=shapes.mean,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.NOT_QUANTIZABLE,
    ),
    Operator(
        name="aten.avg_pool2d.default",
        kind=Kind.POOL,
        parameters=(
            _X,
            _KERNEL,
            _STRIDE,
            _PADDING,
            _CEIL,
            Parameter("count_include_pad", Domain.FLAG, optional=True),
            Parameter("divisor_override", Domain.AVERAGE_DIVISOR, optional=True),
        ),
        shape=shapes.average_pool,
        bounds=bounds.average_pool,
        flops=flops.none,
        quantization=Quantization.INPUTS,
    ),
    Operator(
        name="aten.cat.default",
        kind=Kind.COPY,
        parameters=(Parameter("tensors", Domain.VALUES), Parameter("dim", Domain.AXIS)),
        shape=shapes.joined,
        bounds=bounds.joined,
        flops=flops.none,
        quantization=Quantization.SHARED_SCALES,
    ),
    Operator(
        name="aten.constant_pad_nd.default",
        kind=Kind.COPY,
        parameters=(_X, Parameter("pad", Domain.PADS), Parameter("value", Domain.NUMBER, optional=True)),
        shape=shapes.padded,
        bounds=bounds.padded,
        flops=flops.none,
        quantization=Quantization.SHARED_SCALES,
    ),
    Operator(
        name=CONV2D,
        kind=Kind.LAYER,
        parameters=(
            _INPUT,
            Parameter("weight", Domain.CONVOLUTION_WEIGHT),
            _BIAS,
            _STRIDE,
            _PADDING,
            _DILATION,
            _GROUPS,
        ),
        shape=shapes.convolution,
        bounds=bounds.unknown,
        flops=flops.layer,
        quantization=Quantization.WEIGHTS_AND_INPUTS,
        takes_epilogue=True,
    ),
    Operator(
        name="aten.conv_transpose2d.input",
        kind=Kind.LAYER,
        parameters=(
            _INPUT,
            Parameter("weight", Domain.TRANSPOSED_WEIGHT),
            _BIAS,
            _STRIDE,
            _PADDING,
            Parameter("output_padding", Domain.OUTPUT_PADDING, optional=True),
            _GROUPS,
            _DILATION,
        ),
        shape=shapes.transposed_convolution,
        bounds=bounds.unknown,
        flops=flops.transposed_convolution,
        quantization=Quantization.NOT_QUANTIZABLE,
    ),
    _arithmetic("aten.div.Tensor", bounds.quotient, Parameter("other", Domain.DIVISOR)),
    _function(
        "aten.elu.default",
        Kind.ACTIVATION,
        bounds.elu,
        Parameter("alpha", Domain.NUMBER, optional=True),
        Parameter("scale", Domain.NUMBER, optional=True),
        Parameter("input_scale", Domain.POSITIVE, optional=True),
    ),
    Operator(
        name=EMBEDDING,
        kind=Kind.COPY,
        parameters=(Parameter("weight", Domain.TABLE), Parameter("indices", Domain.ROW_NUMBERS)),
        shape=shapes.embedded,
        bounds=bounds.unknown,
        flops=flops.none,
        quantization=Quantization.NOT_QUANTIZABLE,
    ),
    _function("aten.erf.default", Kind.ELEMENTWISE, bounds.always(-1.0, 1.0)),
    _function("aten.exp.default", Kind.ELEMENTWISE, bounds.always(0.0, math.inf)),
    Operator(
        name=FLATTEN,
        kind=Kind.VIEW,
        parameters=(
            _X,
            Parameter("start_dim", Domain.AXIS),
            Parameter("end_dim", Domain.LAST_AXIS, optional=True),
        ),
        shape=shapes.flatten,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
    _function(
        "aten.gelu.default",
        Kind.ACTIVATION,
        bounds.gelu,
        Parameter("approximate", Domain.GELU_FORMULA, by_name=True),
    ),
    Operator(
        name="aten.group_norm.default",
        kind=Kind.NORMALIZATION,
        parameters=(_INPUT, Parameter("num_groups", Domain.GROUPS), *_NORM),
        shape=shapes.same,
        bounds=bounds.unknown,
        flops=flops.none,
        quantization=Quantization.NOT_QUANTIZABLE,
    ),
    _function("aten.hardsigmoid.default", Kind.ELEMENTWISE, bounds.always(0.0, 1.0)),
    _function("aten.hardswish.default", Kind.ACTIVATION, bounds.dips_to(-0.375)),
    _function(
        "aten.hardtanh.default",
        Kind.ACTIVATION,
        bounds.hardtanh,
        Parameter("min_val", Domain.LOWER, optional=True),
        Parameter("max_val", Domain.UPPER, optional=True),
        quantization=Quantization.CLAMP,
    ),
    Operator(
        name=LAYER_NORM,
        kind=Kind.NORMALIZATION,
        parameters=(_INPUT, Parameter("normalized_shape", Domain.NORMALIZED), *_NORM),
        shape=shapes.layer_norm,
        bounds=bounds.unknown,
        flops=flops.none,
        quantization=Quantization.NOT_QUANTIZABLE,
    ),
    _function(
        "aten.leaky_relu.default",
        Kind.ACTIVATION,
        bounds.leaky_relu,
        Parameter("negative_slope", Domain.NUMBER, optional=True),
    ),
    Operator(
        name=LINEAR,
        kind=Kind.LAYER,
        parameters=(_INPUT, Parameter("weight", Domain.LINEAR_WEIGHT), _BIAS),
        shape=shapes.linear,
        bounds=bounds.unknown,
        flops=flops.layer,
        quantization=Quantization.WEIGHTS_AND_INPUTS,
        takes_epilogue=True,
    ),
    _function("aten.log.default", Kind.ELEMENTWISE, of=_POSITIVE_X, rule=bounds.unknown),
    Operator(
        name="aten.matmul.default",
        kind=Kind.PRODUCT,
        parameters=(_X, Parameter("other", Domain.MATRIX)),
        shape=shapes.matmul,
        bounds=bounds.matmul,
        flops=flops.matmul,
        quantization=Quantization.INPUTS,
    ),
    Operator(
        name="aten.max_pool2d.default",
        kind=Kind.POOL,
        parameters=(_X, _KERNEL, _STRIDE, _PADDING, _DILATION, _CEIL),
        shape=shapes.max_pool,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
    Operator(
        name=MEAN,
        kind=Kind.REDUCTION,
        parameters=(_X, Parameter("dim", Domain.AXES), Parameter("keepdim", Domain.FLAG, optional=True)),
        shape=shapes.mean,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.INPUTS,
    ),
    _arithmetic("aten.maximum.default", bounds.larger, Parameter("other", Domain.X)),
    _arithmetic("aten.minimum.default", bounds.smaller, Parameter("other", Domain.X)),
    # -0.308843 near x = -1.1924.
    _function("aten.mish.default", Kind.ACTIVATION, bounds.dips_to(-0.3089)),
    _arithmetic(
        MUL,
        bounds.product,
        _OTHER,
        flop_rule=flops.by_weights,
        quantization=Quantization.INPUTS,
        takes_epilogue=True,
    ),
    Operator(
        name="aten.permute.default",
        kind=Kind.COPY,
        parameters=(_X, Parameter("dims", Domain.ORDER)),
        shape=shapes.permute,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
    _function("aten.reciprocal.default", Kind.ELEMENTWISE, of=_POSITIVE_X, rule=bounds.reciprocal),
    _function(RELU, Kind.ACTIVATION, bounds.relu, quantization=Quantization.CLAMP),
    Operator(
        name="aten.reshape.default",
        kind=Kind.COPY,
        parameters=(_X, Parameter("shape", Domain.SIZES)),
        shape=shapes.view,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
    Operator(
        name="aten.scaled_dot_product_attention.default",
        kind=Kind.PRODUCT,
        parameters=(
            Parameter("query", Domain.X),
            Parameter("key", Domain.X),
            Parameter("value", Domain.X),
        ),
        shape=shapes.attention,
        bounds=bounds.attention,
        flops=flops.attention,
        quantization=Quantization.NOT_QUANTIZABLE,
    ),
    _function("aten.sigmoid.default", Kind.ELEMENTWISE, bounds.always(0.0, 1.0)),
    # -0.278465 near x = -1.2785.
    _function("aten.silu.default", Kind.ACTIVATION, bounds.dips_to(-0.2785)),
    Operator(
        name="aten.slice.Tensor",
        kind=Kind.COPY,
        parameters=(
            _X,
            Parameter("dim", Domain.AXIS),
            Parameter("start", Domain.START),
            Parameter("end", Domain.END),
            Parameter("step", Domain.STEP, optional=True),
        ),
        shape=shapes.sliced,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
    Operator(
        name="aten.softmax.int",
        kind=Kind.NORMALIZATION,
        parameters=(_X, Parameter("dim", Domain.AXIS)),
        shape=shapes.same,
        bounds=bounds.always(0.0, 1.0),
        flops=flops.none,
        quantization=Quantization.NOT_QUANTIZABLE,
    ),
    _function("aten.sqrt.default", Kind.ELEMENTWISE, of=_POSITIVE_X, rule=bounds.always(0.0, math.inf)),
    _arithmetic("aten.sub.Tensor", bounds.difference, _OTHER, _ALPHA, quantization=Quantization.INPUTS),
    _function("aten.tanh.default", Kind.ACTIVATION, bounds.tanh),
    Operator(
        name="aten.transpose.int",
        kind=Kind.COPY,
        parameters=(_X, Parameter("dim0", Domain.AXIS), Parameter("dim1", Domain.AXIS)),
        shape=shapes.transpose,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
    Operator(
        name="aten.upsample_bilinear2d.vec",
        kind=Kind.RESIZE,
        parameters=(_INPUT, _WANTED_SIZE, Parameter("align_corners", Domain.FLAG), _FACTORS),
        shape=shapes.upsample,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.INPUTS,
    ),
    Operator(
        name="aten.upsample_nearest2d.vec",
        kind=Kind.RESIZE,
        parameters=(_INPUT, _WANTED_SIZE, _FACTORS),
        shape=shapes.upsample,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
    Operator(
        name=VIEW,
        kind=Kind.VIEW,
        parameters=(_X, Parameter("size", Domain.SIZES)),
        shape=shapes.view,
        bounds=bounds.same,
        flops=flops.none,
        quantization=Quantization.AGNOSTIC,
    ),
)

OPERATORS: Mapping[str, Operator] = MappingProxyType({record.name: record for record in _RECORDS})
"""By name. A graph may call these and no others."""
