//! The parent process: from the command line to a running daemon, and to its end.
//!
//! Here is only what happens before the event loop begins and after it ended: the first reading of the configuration, pid
//! files, leaving the foreground. What happens in between is in [`super::reign`].

use std::ffi::OsString;
use std::time::Duration;

use nix::errno::Errno;
use tracing::{debug, info};

use super::COMPATIBLE;
use super::config_test;
use super::configuration::{Read, Source};
use super::exit::Exit;
use super::log::{self, Console, Speaker};
use super::options::Options;
use super::places::Places;
use super::reign::Reign;
use super::systemd::Systemd;
use crate::config::model::Config;
use crate::config::value::Mode;
use crate::kernel::error::{Doing, Error};
use crate::kernel::pidfile::PidFile;
use crate::kernel::process::CorePattern;
use crate::kernel::{memory, namespace, process};

/// How long children of a predecessor may take to release what they hold, when it was killed and is restarted at once.
const PREDECESSOR_LIMIT: Duration = Duration::from_secs(3);

/// What stock calls its processes.
const COMM: &str = "keepalived";

/// The umask without `-u` and without the keyword.
const UMASK: u32 = 0o177;

/// Is the daemon, or tests its configuration.
pub fn run(mut options: Options) -> Exit {
    process::set_umask(options.umask.unwrap_or(UMASK));
    if let Some(to) = &options.config_test {
        return config_test::run(&options, to);
    }
    // The daemon goes to `/`; what the user said is meant from here.
    let files = &mut options.pid_files;
    let log = &mut options.log_file;
    for path in
        [&mut options.config, &mut files.parent, &mut files.vrrp, &mut files.checkers, &mut files.bfd, log]
    {
        if let Some(absolute) = path.as_deref().and_then(|path| std::path::absolute(path).ok()) {
            *path = Some(absolute);
        }
    }
    begin(options).unwrap_or_else(|error| {
        info!("{error}");
        Exit::Fatal
    })
}

fn begin(options: Options) -> Result<Exit, Error> {
    memory::be_frugal();
    let console = if options.dont_fork && options.log.console { Console::Stamped } else { Console::Off };
    let told_without_name = |error| {
        log::start(Speaker::Parent, None, options.log, console, options.log_file.as_deref());
        error
    };
    let mut source = Source::new(&options).map_err(told_without_name)?;
    let mut read = match source.read(Mode::Run).map_err(told_without_name) {
        Ok(read) => read,
        Err(error) => {
            let Some(name) = source.lost_namespace() else { return Err(error) };
            info!("{error}");
            info!("Unable to set network namespace {name} - exiting");
            return Ok(Exit::Success);
        }
    };
    let instance = read.config().ok().and_then(|config| config.global.ident_suffix());
    log::start(Speaker::Parent, instance.as_deref(), options.log, console, options.log_file.as_deref());
    greet(&source);
    for line in read.lines() {
        info!("{line}");
    }
    let config = match read.take_config() {
        Ok(config) => config,
        Err(exit) => {
            refused(exit, &source);
            return Ok(exit);
        }
    };
    if config.global.max_auto_priority == 0 {
        info!(
            "NOTICE: setting config option max_auto_priority should result in better keepalived performance"
        );
    }
    process::set_umask(options.umask.unwrap_or(config.global.umask));
    process::set_name(&config.global.process_names.parent)?;
    if options.core_dump {
        process::allow_core_dumps()?;
    }
    let places = Places::new(&options, &config.global);
    places.create_directory().doing(|| "creating the directory of pid files")?;
    let Some(mut pid_file) = claim(&places, &options)? else { return Ok(Exit::Success) };
    if !options.dont_fork {
        process::daemonize()?;
    }
    pid_file.write()?;
    let core_pattern = options
        .core_pattern
        .as_deref()
        .and_then(|pattern| CorePattern::set(pattern).inspect_err(|error| info!("{error}")).ok());
    let namespace = config.global.net_namespace.clone();
    let exit = reign(options, &places, source, read, config)?;
    for child in [&places.vrrp, &places.checkers] {
        // One that had to be killed left its file.
        if let Ok(Some(left)) = PidFile::claim(child) {
            left.remove();
        }
    }
    if let Some(pattern) = core_pattern {
        pattern.restore();
    }
    pid_file.remove();
    places.remove_directory();
    if let Some(name) = &namespace {
        namespace::remove_run_directory(name);
    }
    if let Ok(usage) = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN) {
        debug!(
            "CPU usage (self/children) user/system of children: {}/{}",
            usage.user_time(),
            usage.system_time()
        );
    }
    info!("Stopped Keepalived {COMPATIBLE}, keepalived-rs {}", env!("CARGO_PKG_VERSION"));
    Ok(exit)
}

/// The lines every start begins with.
fn greet(source: &Source) {
    info!("Starting Keepalived {COMPATIBLE}, keepalived-rs {}", env!("CARGO_PKG_VERSION"));
    if let Ok(name) = nix::sys::utsname::uname() {
        info!(
            "Running on {} {} {}",
            name.sysname().to_string_lossy(),
            name.release().to_string_lossy(),
            name.version().to_string_lossy()
        );
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let quoted: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    info!("Command line: {}", quoted.join(" "));
    info!("Configuration file {}", source.main());
}

/// Says why there is nothing to start.
fn refused(exit: Exit, source: &Source) {
    let systemd = Systemd::from_environment();
    if exit == Exit::NoConfig {
        info!("Unable to read configuration file {} - exiting", source.main());
    } else {
        // As stock says it of the process that found out.
        info!("Keepalived_vrrp exited with permanent error {}. Terminating", exit.word());
    }
    systemd.failed(libc::EINVAL);
}

/// The pid files, or `None` when another daemon holds one of them. Leftovers of children are removed.
fn claim(places: &Places, options: &Options) -> Result<Option<PidFile>, Error> {
    let running = |path: &std::path::Path| {
        info!("Another process has pid file {} locked", path.display());
        info!("daemon is already running");
    };
    let Some(own) = PidFile::claim(&places.parent)? else {
        running(&places.parent);
        return Ok(None);
    };
    if let Some(pid) = own.unlocked_owner(COMM) {
        info!("Process {pid} has pid file {}", places.parent.display());
        info!("daemon is already running");
        return Ok(None);
    }
    let children =
        [(&places.checkers, options.subsystems.no_checkers), (&places.vrrp, options.subsystems.no_vrrp)];
    for (path, unused) in children {
        // The file of a child that this daemon never has may be another daemon's.
        if unused {
            continue;
        }
        match PidFile::claim_within(path, PREDECESSOR_LIMIT) {
            Ok(left) => left.remove(),
            Err(error) if error.errno == Errno::ETIMEDOUT => {
                running(path);
                own.remove();
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(own))
}

fn reign(
    options: Options,
    places: &Places,
    source: Source,
    read: Read,
    config: Config,
) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "starting the event loop")?;
    runtime.block_on(async {
        let instance = config.global.ident_suffix();
        let reign = Reign::new(options, places, source, read, instance)?;
        // The state of a whole daemon: on the heap.
        Ok(Box::pin(reign.live(config)).await)
    })
}
