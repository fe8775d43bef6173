"""What a decision sees is valid before anything is decided."""

import pytest
from pydantic import ValidationError

from ferryman.core.snapshot import NodeView


def test_what_a_node_offers_is_in_quantities():
    assert NodeView(name="n", allocatable={"cpu": "500m", "memory": "4Gi", "example/npu": 2})
    with pytest.raises(ValidationError, match="'16Gi1024' is not a quantity"):
        NodeView(name="n", allocatable={"memory": "16Gi1024"})
