"""Text tables as written by spreadsheets, R and people; separators, quotes and the encoding are detected."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content
from omnitrack.unavailable import unavailable

SEPARATORS = ("\t", ";", ",")  # in order of precedence; the comma is last, because it may be a decimal comma
LINE_BYTES, FIELD_BYTES = 160, 72  # memory that Python takes for a short line with its number, and for a field
SHOWN = 80  # characters of a line in a message
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class TextTable:
    """A text table.

    Attributes:
        path: Its file.
        header: Names of the columns in lower case; empty if the first row is numeric.
        rows: The fields of each row.
        lines: Line number of each row in the file.
        first_line: Line number of the header or, without a header, of the first row.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    first_line: int = 1

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """Return (rows, len(columns)) numbers of some columns; a comma in a field is a decimal comma.

        Raises:
            OmnitrackError: A field is missing or not a number.
        """
        values = np.empty((len(self.rows), len(columns)))
        for row, fields in enumerate(self.rows):
            for column, index in enumerate(columns):
                field = fields[index] if index < len(fields) else ""
                if not _NUMBER.fullmatch(field):
                    wrong = f"{field[:SHOWN]!r} is not a number" if field else "too few columns"
                    told = ",".join(fields)[:SHOWN]
                    raise OmnitrackError(f"{self.place(row)} {told!r}: {wrong}", "put a number there")
                values[row, column] = float(field.replace(",", "."))
        return values

    def place(self, row: int) -> str:
        """Return the location of a row, for messages."""
        return f"{self.path} line {self.lines[row]}"


def read_text_table(path: Path) -> TextTable:
    """Read a table whose columns are separated by tabs, semicolons, commas or spaces, quoted or not.

    Blank lines and lines that begin with # are skipped. Encodings are UTF-8, UTF-16 (with a byte order mark) and
    Windows-1252. A column of row names that is missing from the header, as R writes it, gets an empty name.

    Raises:
        OmnitrackError: The file cannot be read, is not text, or is larger than `omnitrack.limits` allows.
    """
    found = read_lines(path)
    separator = found.separator
    first = split_fields(path, found.lines[0][1], separator) if found.lines else []
    header = [field.lower() for field in first] if not _is_numbers(first) else []
    body = found.lines[bool(header) :]
    count = sum(line.count(separator) + 1 for _, line in body)
    check_content(f"{path}, {count} fields,", count * FIELD_BYTES, path.stat().st_size)
    rows = [split_fields(path, line, separator) for _, line in body]
    if header and rows and all(len(row) == len(header) + 1 for row in rows):
        header = ["", *header]
    return TextTable(path, header, rows, [number for number, _ in body], found.lines[0][0] if found.lines else 1)


@dataclass(frozen=True)
class TextLines:
    """The lines of a table, not yet split; without blank lines and comments.

    Attributes:
        separator: Separator of the columns.
        lines: Number and text of each line.
        is_whole: Whether the last line ends with a line break.
    """

    separator: str
    lines: list[tuple[int, str]]
    is_whole: bool


def read_lines(path: Path) -> TextLines:
    """Read the lines of a table, see `read_text_table`.

    Raises:
        OmnitrackError: As in `read_text_table`.
    """
    text = _text(path)
    count = text.count("\n") + text.count("\r") + 1
    check_content(f"{path}, {count} lines,", count * LINE_BYTES + 4 * len(text), path.stat().st_size)
    lines = list(_lines(text))
    return TextLines(_separator(lines[0][1]) if lines else ",", lines, text.endswith(("\n", "\r")))


def split_fields(path: Path, line: str, separator: str) -> list[str]:
    """Split a line of a table into fields, without quotes and without empty fields at its end.

    Raises:
        OmnitrackError: A field is longer than Python's csv module allows.
    """
    if separator == " ":
        line = " ".join(line.split())
    try:
        fields = [field.strip() for field in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except csv.Error as error:
        raise OmnitrackError(f"{path} is not a table: {error}", "separate its columns by commas") from error
    while fields and not fields[-1]:  # the line ends with a separator
        fields.pop()
    return fields


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unavailable(path, error) or OmnitrackError(
            f"cannot read {path}: {error.strerror or error}", "check that file"
        ) from error
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        raise OmnitrackError(f"{path} is not a text file", "save the table as CSV")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank or a comment, with its number."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _separator(line: str) -> str:
    bare = re.sub(r'"[^"]*"', "", line)
    return next((separator for separator in SEPARATORS if separator in bare), " ")


def _is_numbers(fields: Sequence[str]) -> bool:
    return all(_NUMBER.fullmatch(field) for field in fields)
