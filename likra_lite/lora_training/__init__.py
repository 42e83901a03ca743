"""LoRA heads (extra ``train``): trained with PEFT, scored with ONNX Runtime."""

from __future__ import annotations
