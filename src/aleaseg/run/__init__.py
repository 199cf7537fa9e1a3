"""The folder of a run: how it is begun, its files, its records, its tables, its manifest."""

from aleaseg.run.begin import begin as begin
from aleaseg.run.begin import kind_of as kind_of
from aleaseg.run.files import aside as aside
from aleaseg.run.files import file_name as file_name
from aleaseg.run.files import read_json as read_json
from aleaseg.run.files import sha256_of as sha256_of
from aleaseg.run.files import write_aside as write_aside
from aleaseg.run.files import write_json as write_json
from aleaseg.run.folder import Run as Run
from aleaseg.run.folder import SharedRun as SharedRun
from aleaseg.run.manifest import now as now
from aleaseg.run.manifest import other_versions as other_versions
from aleaseg.run.manifest import versions as versions
from aleaseg.run.record import UNMEASURED as UNMEASURED
from aleaseg.run.record import Measured as Measured
from aleaseg.run.record import Record as Record
from aleaseg.run.tables import open_table as open_table
from aleaseg.run.tables import read_table as read_table
from aleaseg.run.tables import write_frame as write_frame
from aleaseg.run.tables import write_table as write_table
