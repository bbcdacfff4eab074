_base_ = 'skeletontcn-tiny-coral_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
