"""What each ONNX operator is in torch; `sizes` is for arithmetic of shapes."""

from collections.abc import Mapping

from tidegate.models.importing.onnx.call import Operator
from tidegate.models.importing.onnx.operators import (
    elementwise,
    norms,
    products,
    rearranging,
    recurrent,
    reductions,
    sizes,
    windows,
)

ON_TENSORS: Mapping[str, Operator] = {
    **elementwise.OPERATORS,
    **norms.OPERATORS,
    **products.OPERATORS,
    **rearranging.OPERATORS,
    **recurrent.OPERATORS,
    **reductions.OPERATORS,
    **windows.OPERATORS,
    "ConstantOfShape": sizes.constant_of_shape,
    "Range": sizes.range_of,
    "Shape": sizes.shape,
}
ON_SIZES: Mapping[str, Operator] = sizes.OPERATORS
