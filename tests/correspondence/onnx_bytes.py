"""Tiny networks as ONNX files, written byte by byte: the format is protocol buffers; the onnx package is not needed.

Field numbers are those of onnx.proto: ModelProto, GraphProto, NodeProto, AttributeProto, ValueInfoProto, TypeProto.
"""

from __future__ import annotations

from pathlib import Path

FLOAT, FLOAT16 = 1, 10
IR_VERSION, OPSET = 8, 13
INTS, INT = 7, 2  # types of attributes

Shape = tuple[int | str, ...]


def write_network(
    path: Path,
    nodes: list[bytes],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    dtype: int = FLOAT,
    constant: tuple[int, int] | None = None,
) -> Path:
    """Write a network of `node`s; sides given as strings are left open. ``constant`` is the shape of constant zeros."""
    graph = b"".join(_field(1, item) for item in nodes) + _field(2, b"tiny")
    if constant is not None:
        zeros = bytes(4 * constant[0] * constant[1])
        sides = b"".join(_number(1, side) for side in constant)
        graph += _field(5, sides + _number(2, FLOAT) + _field(8, b"constant") + _field(9, zeros))
    graph += b"".join(_field(11, _value(name, shape, dtype)) for name, shape in inputs.items())
    graph += b"".join(_field(12, _value(name, shape, dtype)) for name, shape in outputs.items())
    path.write_bytes(_number(1, IR_VERSION) + _field(7, graph) + _field(8, _number(2, OPSET)))
    return path


def node(kind: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    """Return one operation."""
    packed = b"".join(_field(1, name.encode()) for name in inputs) + _field(2, output.encode())
    packed += _field(4, kind.encode())
    return packed + b"".join(_field(5, _attribute(name, value)) for name, value in attributes.items())


def pooling(path: Path, cell: int = 8, shape: Shape = (1, 3, "h", "w"), dtype: int = FLOAT) -> Path:
    """Write a network whose features are mean colours of cells: (1, 3, H, W) to (1, 3, H / cell, W / cell)."""
    mean = node("AveragePool", ["image"], "cells", kernel_shape=[cell, cell], strides=[cell, cell])
    return write_network(path, [mean], {"image": shape}, {"cells": (1, 3, "rows", "columns")}, dtype)


def _attribute(name: str, value: int | list[int]) -> bytes:
    named = _field(1, name.encode())
    if isinstance(value, int):
        return named + _number(3, value) + _number(20, INT)
    return named + b"".join(_number(8, item) for item in value) + _number(20, INTS)


def _value(name: str, shape: Shape, dtype: int) -> bytes:
    sides = b"".join(
        _field(1, _field(2, side.encode()) if isinstance(side, str) else _number(1, side)) for side in shape
    )
    tensor = _number(1, dtype) + _field(2, sides)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
