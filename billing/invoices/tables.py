"""A document's lines as a machine reads them: RFC 4180, integers, the currency in a column of its own, no totals."""

from __future__ import annotations

import csv
import io
from typing import Final

from billing.invoices.sheets import Document
from billing.spreadsheets import guarded

_COLUMNS: Final = ("model", "price_version", "kind", "quantity", "rate_per_million", "exact", "amount", "currency")


def lines_csv(document: Document) -> str:
    """`exact` and the rate are ledger units, `amount` minor units; a fee's rate is of one request.

    What is asked for beside the lines follows them, as `owed_` and its kind.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for line in document["lines"]:
        writer.writerow(
            [
                guarded(line["model"]),
                line["version"],
                line["kind"],
                line["quantity"],
                line["rate"],
                line["exact"],
                line["amount"],
                document["currency"],
            ]
        )
    for row in document.get("owed", ()):
        writer.writerow(["", 0, f"owed_{row['kind']}", 1, 0, row["exact"], row["amount"], document["currency"]])
    return text.getvalue()
