from django.contrib.admin.apps import AdminConfig

from costrouter import checks


class AdministrationConfig(AdminConfig):
    """Django's admin with our own site; `unfold.apps.BasicAppConfig` leaves the choice of the site to us."""

    default_site = "administration.frame.AdministrationSite"

    def ready(self) -> None:
        super().ready()
        checks.register_all()
