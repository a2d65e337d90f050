"""Files in the layout of UCI 553 for tests, good and hostile ones."""

from __future__ import annotations

import io
import zipfile

HEADER = (
    "year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);colour;location;"
    "model photography;price;price 2;page"
)


def row(session: str = "1", order: object = 1, **changes: object) -> str:
    """One row; what a test does not say has a plain value."""
    values: dict[str, object] = {
        "year": 2008,
        "month": 4,
        "day": 1,
        "order": order,
        "country": 29,
        "session": session,
        "category": 1,
        "product": "A13",
        "colour": 1,
        "location": 5,
        "photography": 1,
        "price": 28,
        "price_2": 2,
        "page": 1,
    }
    return ";".join(str(value) for value in (values | changes).values())


def csv_bytes(*rows: str, header: str = HEADER) -> bytes:
    """A CSV file of these rows."""
    return ("\r\n".join([header, *rows]) + "\r\n").encode()


def visits(sessions: int, clicks: int = 4) -> list[str]:
    """Rows of so many sessions, of so many clicks each, that differ from each other."""
    return [
        row(
            f"s{session}",
            order,
            category=(session + order) % 4 + 1,
            product=f"A{(session * 7 + order) % 9 + 1}",
            price=20 + (session * 5 + order * 3) % 50,
            price_2=(session + order) % 2 + 1,
            page=(session + order) % 5 + 1,
        )
        for session in range(sessions)
        for order in range(1, clicks + 1)
    ]


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
