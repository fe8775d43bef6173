"""What a snapshot, which a person may have written, must hold."""

import pytest
from pydantic import ValidationError

from ferryman.core.snapshot import NodeView


@pytest.mark.parametrize("amount", ["Never", "16G~i", "", "-"])
def test_what_a_node_has_is_stated_in_quantities(amount):
    with pytest.raises(ValidationError, match=f"'{amount}' is not a quantity: write for example"):
        NodeView(name="n", allocatable={"cpu": 4, "memory": amount})
