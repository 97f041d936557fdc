"""The tenant's pages, in the namespace `portal`."""

from __future__ import annotations

from django.urls import path

from portal import focus, home, invoices, keys, ledger, overview, prices, quotas, request, requests, topups, usage

app_name = "portal"

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("live/", overview.overview_live, name="overview_live"),
    path("requests/", requests.request_list, name="requests"),
    path("requests/live/", requests.request_list_live, name="requests_live"),
    path("requests/<uuid:request_id>/", request.request_detail, name="request"),
    path("usage/", usage.usage, name="usage"),
    path("usage.csv", usage.usage_csv, name="usage_csv"),
    path("usage.focus.csv", focus.usage_focus, name="usage_focus"),
    path("prices/", prices.prices, name="prices"),
    path("keys/", keys.key_list, name="keys"),
    path("keys/new/", keys.key_create, name="key_create"),
    path("keys/<int:key_id>/", keys.key_edit, name="key"),
    path("keys/<int:key_id>/pause/", keys.key_pause, name="key_pause"),
    path("keys/<int:key_id>/resume/", keys.key_resume, name="key_resume"),
    path("keys/<int:key_id>/revoke/", keys.key_revoke, name="key_revoke"),
    path("quotas/", quotas.quota_list, name="quotas"),
    path("quotas/new/", quotas.quota_create, name="quota_create"),
    path("quotas/defaults/<int:default_id>/end/", quotas.quota_default_end, name="quota_default_end"),
    path("quotas/<int:quota_id>/", quotas.quota_edit, name="quota"),
    path("quotas/<int:quota_id>/end/", quotas.quota_end, name="quota_end"),
    path("billing/", ledger.wallet, name="billing"),
    path("billing/redeem/", ledger.redeem, name="billing_redeem"),
    path("billing/alert/", ledger.alert, name="billing_alert"),
    path("billing/refusals/", ledger.refusals, name="billing_refusals"),
    path("billing/ledger.csv", ledger.ledger_csv, name="billing_csv"),
    path("topups/", topups.top_ups, name="topups"),
    path("topups/card/", topups.save_card, name="topup_card"),
    path("topups/card/forget/", topups.forget_card, name="topup_card_forget"),
    path("topups/automatic/", topups.set_automatic, name="topup_automatic"),
    path("topups/<uuid:order_id>/", topups.top_up, name="topup"),
    path("topups/<uuid:order_id>/live/", topups.top_up_live, name="topup_live"),
    path("invoices/", invoices.invoice_list, name="invoices"),
    path("invoices/<int:invoice_id>/", invoices.invoice_detail, name="invoice"),
    path("invoices/<int:invoice_id>.pdf", invoices.invoice_pdf, name="invoice_pdf"),
    path("invoices/<int:invoice_id>.csv", invoices.invoice_csv, name="invoice_csv"),
    path("credit-notes/<uuid:note_id>/", invoices.credit_note, name="credit_note"),
    path("credit-notes/<uuid:note_id>.pdf", invoices.credit_note_pdf, name="credit_note_pdf"),
    path("credit-notes/<uuid:note_id>.csv", invoices.credit_note_csv, name="credit_note_csv"),
    path("billing-profile/", invoices.billing_profile, name="billing_profile"),
    path("tenants/<int:tenant_id>/", home.choose_tenant, name="choose_tenant"),
]
