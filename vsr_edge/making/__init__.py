"""How bundles are made: what export (which needs PyTorch) and import (which does not) share."""
