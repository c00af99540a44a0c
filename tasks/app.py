"""The Celery application, not configured yet: ``tasks.main`` does that, and tests do it their way."""

from celery import Celery

app = Celery("newsmill", set_as_current=False)
