"""Algorithm ``Guarded``, from what a window teaches to what is changed; begin at ``decision``."""
