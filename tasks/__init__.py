"""What newsmill knows of Celery: tasks are doorways, the rooms are in ``worker``."""
