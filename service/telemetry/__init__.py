"""Every metric in one table; nobody else names one."""
