"""Arrow tables to DataFrames, in one place so that a column has the same dtype wherever it is made."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

__all__ = ["to_pandas"]

_NULLABLE = {
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a DataFrame; integers and booleans stay what they are where values are unknown.

    Columns without nulls become plain NumPy columns (fast); those with nulls pandas' nullable dtypes, never
    floats: a tick count beyond 2**53 would lose its last digits.
    """
    plain = {}
    for name in table.column_names:
        data = table[name]
        plain[name] = data.to_pandas(types_mapper=_NULLABLE.get if data.null_count else None)
    return pd.DataFrame(plain, columns=table.column_names)
