"""Money that comes in: orders, cards by Stripe, bank transfers by VietQR, refunds, disputes, automatic top-ups.

What a gateway says is a hint: every event makes us read the payment again and book what is true there (`events.py`).
The network is never asked inside a transaction; each step is a state of its row, so that whoever comes after a dead
process goes on from it (`jobs.py`). Rows are locked in this order: automatic top-up, order, wallet.

    gateways     what is configured, and what must fit together
    units        amounts in a gateway's minor units (pure)
    orders       the order, and the one way by which it is credited
    stripe_api   the card gateway's answers as values; the only module that knows the `stripe` package
    checkout     going to the card gateway's page, to pay or to save a card
    events       what the card gateway tells
    shares       how an order's money is divided among what goes back
    refunds, disputes, automatic
    memos, vietqr (pure), rates, transfers
    alarms       what an operator has to look at
"""
