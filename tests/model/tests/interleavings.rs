//! Runs the models: a few thousand interleavings each, or `PINTLE_MODEL` of them (`cargo xtask model` sets it).

macro_rules! models {
    ($($test:ident: $model:ident,)*) => {
        $(
            #[test]
            fn $test() {
                let times = std::env::var("PINTLE_MODEL").ok().and_then(|times| times.parse().ok());
                pintle_model::explore(pintle_model::$model, times.unwrap_or(500));
            }
        )*
    };
}

models! {
    tasks: every_task_runs_once_in_order_and_within_its_lane_s_limit,
    chains: a_chain_of_waits_ends_on_one_worker,
    answers: a_call_that_waits_for_two_answers_has_both,
    crossed: of_two_that_ask_each_other_and_a_third_one_is_answered,
    stopped_answers: waits_for_several_answers_end_with_the_stop,
    circles: a_circle_of_waits_is_refused_and_nothing_else_is,
    libraries: a_library_is_closed_after_the_last_destructor_of_its_threads,
    ending: a_worker_that_ends_by_itself_is_waited_for_too,
    results: a_result_is_taken_or_given_back_exactly_once,
    stopping: a_wait_does_not_outlive_the_stop_of_its_generation,
    shutdown: a_pool_shuts_down_whatever_else_goes_on,
    hanging: a_call_that_hangs_holds_nobody_up_but_its_own_lane,
}
