"""Invoices and statements: what a month was, written down once and for all.

A period is closed (closing.py), counted (counts.py) and drafted (drafts.py), with what the wallet has paid ahead
(prepaid.py) and owes besides (debts.py); after some days its document becomes final (finalising.py) with a number
(numbers.py) and a snapshot (snapshots.py), from which every view of it is made (pdf.py, tables.py). What settles it is
noted once (paying.py), corrections are credit notes (crediting.py), and what is final is compared with the records
(comparing.py). jobs.py does all of it for every tenant, parking.py keeps what waits for a person.
"""
