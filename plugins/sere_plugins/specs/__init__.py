"""What each first-party component is called and how it is configured.  pydantic only: importing these is cheap."""
