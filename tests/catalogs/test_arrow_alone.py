"""Arrow loads no pandas before somebody needs it, and knows pandas' arrays once it is there."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib.util, sys
from catalogs.arrow_alone import arrow_alone
arrow_alone()
import numpy as np, pyarrow as pa, pyarrow.dataset
rows = pa.table({"a": np.arange(3.0), "b": ["x", "y", None]})
assert "pandas" not in sys.modules
assert importlib.util.find_spec("pandas") is not None
import pandas as pd
assert pa.array(pd.Series([1, None], dtype="Int64")).to_pylist() == [1, None]
assert pa.array(pd.Series([1.0, np.nan])).null_count == 1
assert rows.to_pandas().shape == (3, 2)
assert pa.Table.from_pandas(pd.DataFrame({"c": [1]}), preserve_index=False).num_rows == 1
assert type(pd.__loader__) is type(np.__loader__)
arrow_alone()
"""


def test_the_first_array_loads_pandas_or_pandas_that_comes_later_is_unknown_to_arrow():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
