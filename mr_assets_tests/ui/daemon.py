"""Dagster's daemon as `mr ui` starts it, but with shorter rests: tests wait for each of its rounds.

By itself it looks after backfills every 30 s, and after sensors and killed Dagster runs every 5.
"""

BACKFILLS_SECONDS = 2

if __name__ == "__main__":
    import dagster as dg
    from dagster._daemon import controller, sensor

    from mr_assets.orchestration.daemon import main
    from mr_assets_tests.ui.history import keep_open

    keep_open()

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = BACKFILLS_SECONDS
    sensor.MIN_INTERVAL_LOOP_TIME = 1
    dg.DagsterInstance.run_monitoring_poll_interval_seconds = property(lambda _: 1)  # type: ignore[assignment,method-assign]
    main()
