"""What this machine's processor can do."""

import pytest

from nvrerank.local.settings import integers_pay

WITH_INT8 = pytest.mark.skipif(not integers_pay(), reason="this CPU has no instructions for 8-bit products")
