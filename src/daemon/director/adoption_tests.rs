//! A successor of a lost checkers process, its state and the table that it finds.

use super::tests::{World, at_port, checked, with_sorry};

#[test]
fn a_successor_adopts_the_table_sorry_server_included() {
    let mut world = World::new();
    world.run(&[with_sorry(checked(2))], None);
    world.round(|_| true);
    let table = world.kernel.shown();
    assert_eq!(table, ["10.9.0.1:tcp:80 = 10.1.0.250:9000*1"]);
    let bytes = postcard::to_stdvec(&world.director.state()).unwrap();

    let mut successor = World::new();
    successor.kernel = world.kernel;
    successor.kernel.taken();
    successor.now = world.now;
    successor.run(&[with_sorry(checked(2))], Some(postcard::from_bytes(&bytes).unwrap()));
    assert_eq!(successor.kernel.taken(), [""; 0]);
    assert_eq!(successor.out.notify, []);
    successor.round(|_| false);
    assert_eq!(successor.kernel.shown(), ["10.9.0.1:tcp:80 = 10.1.0.1:8000*1 10.1.0.2:8000*1"]);
}

#[test]
fn a_successor_believes_the_table_where_its_predecessor_was_killed_before_it_could_tell() {
    let mut world = World::new();
    let mut inhibited = at_port(checked(2), 81);
    inhibited.real_servers[0].inhibit_on_failure = true;
    let all = [with_sorry(checked(2)), inhibited, at_port(with_sorry(checked(1)), 82)];
    world.run(&all, None);
    let untold = world.director.state();
    world.round(|server| server == 1);
    let table = world.kernel.shown();
    assert_eq!(
        table,
        [
            "10.9.0.1:tcp:80 = 10.1.0.2:8000*1",
            "10.9.0.1:tcp:81 = 10.1.0.1:8000*0 10.1.0.2:8000*1",
            "10.9.0.1:tcp:82 = 10.1.0.250:9000*1"
        ]
    );
    let mut successor = World::new();
    successor.kernel = world.kernel;
    successor.kernel.taken();
    successor.now = world.now;
    successor.run(&all, Some(untold));
    assert_eq!(successor.kernel.taken(), [""; 0], "the table stays as it is");
    assert!(
        successor.out.log[0].contains("[10.1.0.1]:tcp:8000 is not in the pool"),
        "{:?}",
        successor.out.log
    );
    successor.round(|_| false);
    assert_eq!(
        successor.kernel.shown(),
        [
            "10.9.0.1:tcp:80 = 10.1.0.1:8000*1 10.1.0.2:8000*1",
            "10.9.0.1:tcp:81 = 10.1.0.1:8000*1 10.1.0.2:8000*1",
            "10.9.0.1:tcp:82 = 10.1.0.1:8000*1"
        ]
    );
}

#[test]
fn of_a_service_that_is_gone_altogether_a_successor_concludes_nothing() {
    let mut world = World::new();
    world.run(&[checked(2)], None);
    let state = world.director.state();
    let mut successor = World::new();
    successor.run(&[checked(2)], Some(state));
    assert_eq!(successor.kernel.shown(), ["10.9.0.1:tcp:80 = 10.1.0.1:8000*1 10.1.0.2:8000*1"]);
}
