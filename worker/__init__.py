"""newsmill's knowledge of news. Nothing in here knows Celery or reads the environment."""
